import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { z } from 'zod'
import { UserError } from './errors.ts'
import { contentsOf, readJson, writeJson, writeWhole } from './files.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'files-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

it('a JSON file that is absent, no JSON or of another form is refused by name', () => {
  const path = join(folder, 'a.json')
  const read = () => readJson(path, z.object({ rank: z.int() }))
  expect(read).toThrow(/a\.json: no such file; .* holds nothing/)
  writeFileSync(path, '{')
  expect(read).toThrow(/a\.json: not JSON/)
  writeFileSync(path, '{"rank":"x"}')
  expect(read).toThrow(/a\.json: rank: Invalid input: expected/)
  writeFileSync(path, '{"rank":3}')
  expect(read()).toEqual({ rank: 3 })
  expect(() => readJson(folder, z.unknown())).toThrow(UserError)
})

it('a file is written whole: a failure leaves the old one and nothing beside it', () => {
  const path = join(folder, 'a')
  writeWhole(path, ['old'])
  const failing = function* () {
    yield 'new'
    throw new Error('killed')
  }
  expect(() => writeWhole(path, failing())).toThrow('killed')
  expect(readFileSync(path, 'utf8')).toBe('old')
  expect(readdirSync(folder)).toEqual(['a'])
  expect(() => writeWhole(join(folder, 'absent', 'a'), [''])).toThrow(UserError)
})

it('JSON is not written where it would change a number', () => {
  expect(() => writeJson(join(folder, 'a'), { logZ: [Number.NaN] })).toThrow(/NaN, which JSON cannot hold/)
  expect(contentsOf(folder)).toBe('nothing')
})

it('a long folder is listed in part', () => {
  for (let i = 10; i < 25; i++) mkdirSync(join(folder, String(i)))
  expect(contentsOf(folder)).toBe('10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21 and 3 more')
})
