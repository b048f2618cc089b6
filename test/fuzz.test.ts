import { expect, test } from 'vitest'
import { fuzz, readSafetensorsHeader, readWholeGguf, sourceOf, wholeGgufs, wholeSafetensors } from './fuzz.ts'

const CASES = 2000 // `npm run fuzz` tries 100,000

test('damaged GGUF files are read or refused by name, without a crash, a read outside or unbounded memory', () => {
  const result = fuzz(wholeGgufs(), readWholeGguf, CASES, 2)
  expect(result.refused + result.read).toBe(CASES)
  expect(Math.min(result.refused, result.read)).toBeGreaterThan(CASES / 20) // the damage reaches both ends
})

test('damaged headers of safetensors files are too', () => {
  const result = fuzz(wholeSafetensors(), readSafetensorsHeader, CASES, 2)
  expect(result.refused + result.read).toBe(CASES)
  expect(Math.min(result.refused, result.read)).toBeGreaterThan(CASES / 50)
})

test('the files are whole before they are damaged', () => {
  for (const file of wholeGgufs()) readWholeGguf(file)
  for (const file of wholeSafetensors()) readSafetensorsHeader(Buffer.from(file))
})

test('a reader that believes what a file says is caught', () => {
  const [file] = wholeGgufs()
  const believing: Record<string, (bytes: Buffer) => void> = {
    allocates: (bytes) => void (bytes.length > 24 && new Uint8Array(Number(bytes.readBigUInt64LE(16)) * 2 ** 20)),
    'reads outside': (bytes) => sourceOf(bytes).read(new Uint8Array(1), file.length - 1),
  }
  for (const read of Object.values(believing)) expect(() => fuzz([file], read, CASES, 2)).toThrow(/case \d+ of seed 2/)
})
