import { describe, expect, test } from 'vitest'
import { seededRandom } from '../random.ts'
import type { HostTensor } from '../runtime/host-tensor.ts'
import { BLOCK } from '../tensor/ops/stored.ts'
import { widenFloat16 } from './dtypes.ts'
import { encodeMatrix } from './quantize.ts'

const ROWS = 6
const COLUMNS = 128
const draws = seededRandom(3).at('matrix')
const matrix = Float32Array.from({ length: ROWS * COLUMNS }, () => draws.normal() * 10 ** (2 * draws.uniform() - 3))
const encode = (storage: 'float16' | 'int8' | 'int4', parts: Float32Array[] = [matrix]) =>
  encodeMatrix(storage, [ROWS, COLUMNS], parts)

/** The slow obvious reading of what was encoded. */
function decode(arrays: Record<string, HostTensor>): number[] {
  const scales = widenFloat16(arrays['.scale'].data as Uint16Array)
  return Array.from(matrix, (_, i) => {
    const block = Math.floor(i / BLOCK)
    if (!arrays['.zero']) return Number(arrays[''].data[i]) * scales[block]
    const [row, column] = [Math.floor(i / COLUMNS), i % COLUMNS]
    const byte = Number(arrays[''].data[(row * COLUMNS) / 2 + (column % (COLUMNS / 2))])
    const level = column < COLUMNS / 2 ? byte & 15 : byte >> 4
    return (level - Number(arrays['.zero'].data[block])) * scales[block]
  })
}

describe.each(['int8', 'int4'] as const)('%s', (storage) => {
  test('errs by no more than a step in any block, and by a third of one on average', () => {
    const decoded = decode(encode(storage))
    for (let from = 0; from < matrix.length; from += BLOCK) {
      const block = Array.from(matrix.subarray(from, from + BLOCK))
      const [low, high] = [Math.min(0, ...block), Math.max(0, ...block)]
      const step = storage === 'int8' ? Math.max(-low, high) / 127 : (high - low) / 15
      const errors = block.map((value, i) => Math.abs(value - decoded[from + i]))
      expect(Math.max(...errors)).toBeLessThan(1.01 * step) // the ends may lie half a step and a zero point's rounding off
      expect(errors.reduce((a, b) => a + b) / BLOCK).toBeLessThan(step / 3)
    }
  })

  test('does not depend on how the rows arrive', () => {
    const parts = [0, 1, 3].map((row, i, rows) => matrix.slice(row * COLUMNS, (rows[i + 1] ?? ROWS) * COLUMNS))
    expect(encode(storage, parts)).toEqual(encode(storage))
  })

  test('keeps zeros exactly, and a matrix of nothing else', () => {
    const sparse = matrix.map((value, i) => (i % 3 === 0 ? 0 : value))
    const decoded = decode(encodeMatrix(storage, [ROWS, COLUMNS], [sparse]))
    expect(decoded.filter((value, i) => i % 3 === 0 && value !== 0)).toEqual([])
    const nothing = decode(encodeMatrix(storage, [ROWS, COLUMNS], [new Float32Array(ROWS * COLUMNS)]))
    expect(nothing.every((value) => value === 0)).toBe(true)
  })

  test('keeps the tiny numbers that float16 scales cannot measure at zero instead of inventing some', () => {
    const tiny = matrix.map((value) => value * 1e-12)
    expect(decode(encodeMatrix(storage, [ROWS, COLUMNS], [tiny])).every((value) => value === 0)).toBe(true)
  })
})

test('half precision is the nearest half', () => {
  const halves = widenFloat16(encode('float16')[''].data as Uint16Array)
  for (const [i, half] of halves.entries())
    expect(Math.abs(half - matrix[i])).toBeLessThanOrEqual(2 ** -11 * Math.abs(matrix[i]) + 2 ** -25)
})

test('parts that are no whole rows, or too few, are refused', () => {
  expect(() => encode('int8', [matrix.subarray(1)])).toThrow('no whole rows of 128')
  expect(() => encode('int8', [matrix.subarray(COLUMNS)])).toThrow('5 rows came where 6 belong')
})
