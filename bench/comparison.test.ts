import { spawnSync } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { compareResults } from './comparison.ts'
import { readResults, writeResults } from './results.ts'
import { median, spread } from './statistics.ts'

const measured = (seconds: number[], options: { name?: string; isControl?: boolean; peakBytes?: number } = {}) => ({
  name: 'learning',
  peakBytes: 1000,
  isControl: false,
  ...options,
  seconds,
})
const results = (...measurements: ReturnType<typeof measured>[]) => ({
  command: 'bench',
  machine: 'here',
  measurements,
})
const change = (before: number[], after: number[]) =>
  compareResults(results(measured(before)), results(measured(after))).changes[0]

test('what became slower by more than the spread of its repeats is flagged', () => {
  const { changes, isSlower } = compareResults(results(measured([1, 1.05, 1.1])), results(measured([1.3, 1.2, 1.25])))
  expect(isSlower).toBe(true)
  expect(changes[0]).toMatchObject({ verdict: 'slower', before: 1.05, after: 1.25 })
  expect(changes[0].ratio).toBeCloseTo(1.25 / 1.05, 12)
  expect(changes[0].noise).toBeCloseTo(0.1 / 1.05, 12) // of the first file, the noisier one
})

test('the same change is noise where repeats of either file lie as far apart', () => {
  const [steady, noisy] = [
    [1, 1, 1],
    [1, 1.2, 1.3],
  ]
  expect(change(steady, [1.2, 1.2, 1.2]).verdict).toBe('slower')
  expect(change(steady, noisy).verdict).toBe('within noise')
  expect(change(noisy, [1.4, 1.4, 1.4]).verdict).toBe('within noise')
})

test('what became faster is told and not flagged', () => {
  const { changes, isSlower } = compareResults(results(measured([2, 2])), results(measured([1, 1])))
  expect(changes[0].verdict).toBe('faster')
  expect(isSlower).toBe(false)
})

test('equal repeats do not make a hundredth of a change a finding', () => {
  expect(change([1, 1, 1], [1.02, 1.02, 1.02]).verdict).toBe('within noise')
  expect(change([1, 1, 1], [1.04, 1.04, 1.04]).verdict).toBe('slower')
})

test('code that is not ours is compared and never flagged', () => {
  const before = results(measured([1, 1], { name: 'paper', isControl: true }), measured([1, 1]))
  const after = results(measured([2, 2], { name: 'paper', isControl: true }), measured([1, 1]))
  const { changes, isSlower } = compareResults(before, after)
  expect(changes.map(({ verdict }) => verdict)).toEqual(['slower', 'within noise'])
  expect(isSlower).toBe(false)
})

test('measurements are matched by name, and those without a partner are told', () => {
  const before = results(measured([1, 1], { name: 'sampling' }), measured([4, 4], { peakBytes: 2000 }))
  const after = results(measured([4, 4], { peakBytes: 3000 }), measured([9, 9], { name: 'new' }))
  const { changes, onlyBefore, onlyAfter } = compareResults(before, after)
  expect(changes.map(({ name, memoryRatio }) => [name, memoryRatio])).toEqual([['learning', 1.5]])
  expect([onlyBefore, onlyAfter]).toEqual([['sampling'], ['new']])
})

test('a file that was written is read as it was', () => {
  const path = join(mkdtempSync(join(tmpdir(), 'flowtune-')), 'a.json')
  const written = results(measured([1, 2]))
  writeResults(path, { ...written, details: [] })
  expect(readResults(path)).toEqual(written)
})

test('a single run is refused, for it tells nothing of the noise', () => {
  const path = join(mkdtempSync(join(tmpdir(), 'flowtune-')), 'a.json')
  writeFileSync(path, JSON.stringify(results(measured([1]))))
  expect(() => readResults(path)).toThrow(`${path}: measurements.0.seconds: one run tells nothing of the noise`)
})

test('the median of an even number of values is between both in the middle', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5)
  expect(median([10, 1, 3])).toBe(3)
  expect(spread([1, 4, 2])).toBe(1.5)
})

describe('the command', () => {
  const folder = mkdtempSync(join(tmpdir(), 'flowtune-'))
  const file = (name: string, seconds: number[], machine = 'here') => {
    const path = join(folder, name)
    writeResults(path, { ...results(measured(seconds)), machine, details: [] })
    return path
  }
  const compare = (...paths: string[]) =>
    spawnSync(
      process.execPath,
      ['--import', 'tsx', fileURLToPath(new URL('./compare.ts', import.meta.url)), ...paths],
      {
        encoding: 'utf8',
      },
    )
  const before = file('before.json', [1, 1])

  test('ends with code 1 where something became slower, and shows it', () => {
    const { status, stdout } = compare(before, file('slower.json', [1.5, 1.5], 'elsewhere'))
    expect(status).toBe(1)
    expect(stdout).toMatch(/learning +│ +1\.000 │ +1\.500 │ +1\.500 │ +± 3 % │ +× 1\.00 │ SLOWER/)
    expect(stdout).toContain('other machines: here and elsewhere')
  })

  test('ends with code 0 where nothing did', () => {
    expect(compare(before, file('same.json', [1.01, 1.01])).status).toBe(0)
  })

  test('refuses a file that is not there, in one line', () => {
    const { status, stderr } = compare(before, join(folder, 'absent.json'))
    expect(status).toBe(2)
    expect(stderr).toContain('absent.json: no such file')
    expect(stderr.trim().split('\n')).toHaveLength(1)
  })
})
