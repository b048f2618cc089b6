import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { readStepMetrics } from './run-metrics.ts'

const folder = mkdtempSync(join(tmpdir(), 'metrics-'))
afterAll(() => rmSync(folder, { recursive: true }))
const write = (...lines: string[]) => writeFileSync(join(folder, 'events.jsonl'), lines.join('\n'))

test('steps are read in their order, null as what is no number, and half a line is left out', () => {
  write(
    '{"kind":"started","step":0}',
    '{"kind":"step","step":1,"metrics":{"loss/objective":2.5,"reward/logMean":null}}',
    '{"kind":"checkpoint","step":1}',
    '{"kind":"step","step":2,"metrics":{"loss/objective":1.5,"reward/logMean":-4}}',
    '{"kind":"step","step":3,"metr',
  )
  expect(readStepMetrics(folder)).toEqual([
    { step: 1, metrics: { 'loss/objective': 2.5, 'reward/logMean': Number.NaN } },
    { step: 2, metrics: { 'loss/objective': 1.5, 'reward/logMean': -4 } },
  ])
})

test('a folder without events and a damaged line are told by name', () => {
  expect(() => readStepMetrics(join(folder, 'none'))).toThrow('none: no run here: there is no events.jsonl')
  write('{"kind":"step"', '{}', '')
  expect(() => readStepMetrics(folder)).toThrow('events.jsonl, line 1: this line is damaged; resume the run')
})
