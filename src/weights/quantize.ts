/**
 * @file Weights in 16, 8 or 4 bits, as `tensor/ops/stored.ts` decodes them. A matrix arrives in parts of whole rows and
 * is encoded part by part: its float32 form is never there as a whole.
 */
import { type HostTensor, type NamedTensors, sizeOf, type TypedArray } from '../runtime/host-tensor.ts'
import { BLOCK, type Storage, storedTypes } from '../tensor/ops/stored.ts'
import { narrowToFloat16, widenFloat16 } from './dtypes.ts'

/**
 * The arrays that hold a matrix [rows, columns], by what is appended to its name.
 * @param parts the matrix row by row, whole rows in each part; a part may be overwritten once the next is asked for
 */
export function encodeMatrix(
  storage: Storage,
  shape: readonly number[],
  parts: Iterable<Float32Array>,
): Record<string, HostTensor> {
  const [, columns] = shape
  const arrays = emptyArrays(storage, shape)
  const encode = ENCODERS[storage]
  let row = 0
  for (const part of parts) {
    if (part.length % columns !== 0) throw new Error(`a part of ${part.length} numbers has no whole rows of ${columns}`)
    encode(part, columns, arrays, row)
    row += part.length / columns
  }
  if (row !== shape[0]) throw new Error(`${row} rows came where ${shape[0]} belong`)
  return arrays
}

function emptyArrays(storage: Storage, shape: readonly number[]): NamedTensors {
  const kinds = { float32: Float32Array, float16: Uint16Array, int8: Int8Array, uint8: Uint8Array }
  const entries = Object.entries(storedTypes(storage, shape)).map(([name, { dtype, shape }]) => {
    const sizes = shape as readonly number[]
    const data: TypedArray = new kinds[dtype as keyof typeof kinds](sizeOf(sizes))
    return [name, { dtype, shape: sizes, data }]
  })
  return Object.fromEntries(entries)
}

type Encoder = (rows: Float32Array, columns: number, arrays: NamedTensors, firstRow: number) => void

const ENCODERS: Record<Storage, Encoder> = {
  float32: (rows, columns, arrays, firstRow) => (arrays[''].data as Float32Array).set(rows, firstRow * columns),
  float16: (rows, columns, arrays, firstRow) =>
    (arrays[''].data as Uint16Array).set(narrowToFloat16(rows), firstRow * columns),
  int8: encodeInt8,
  int4: encodeInt4,
}

function encodeInt8(rows: Float32Array, columns: number, arrays: NamedTensors, firstRow: number): void {
  const values = arrays[''].data as Int8Array
  const start = firstRow * columns
  const scales = narrowToFloat16(
    ofBlocks(rows, (from) => {
      let largest = 0
      for (let i = from; i < from + BLOCK; i++) largest = Math.max(largest, Math.abs(rows[i]))
      return largest / 127
    }),
  )
  const steps = widenFloat16(scales)
  for (let i = 0; i < rows.length; i++) {
    const step = steps[Math.floor(i / BLOCK)]
    // the rounding of the scale may push the largest number past the end
    values[start + i] = step > 0 ? Math.max(-127, Math.min(127, Math.round(rows[i] / step))) : 0
  }
  ;(arrays['.scale'].data as Uint16Array).set(scales, start / BLOCK)
}

function encodeInt4(rows: Float32Array, columns: number, arrays: NamedTensors, firstRow: number): void {
  const packed = arrays[''].data as Uint8Array
  const zeros = arrays['.zero'].data as Uint8Array
  const firstBlock = (firstRow * columns) / BLOCK
  const lows = ofBlocks(rows, (from) => extreme(rows, from, Math.min)) // 0 is among the numbers: it is met exactly
  const highs = ofBlocks(rows, (from) => extreme(rows, from, Math.max))
  const scales = narrowToFloat16(lows.map((low, block) => (highs[block] - low) / 15))
  const steps = widenFloat16(scales)
  for (const [block, step] of steps.entries())
    zeros[firstBlock + block] = step > 0 ? Math.round(-lows[block] / step) : 0
  const half = columns / 2
  for (let i = 0; i < rows.length; i++) {
    const block = Math.floor(i / BLOCK)
    const step = steps[block]
    const level = step > 0 ? Math.max(0, Math.min(15, Math.round(rows[i] / step) + zeros[firstBlock + block])) : 0
    const column = i % columns
    const byte = (firstRow + (i - column) / columns) * half + (column % half)
    packed[byte] |= column < half ? level : level << 4
  }
  ;(arrays['.scale'].data as Uint16Array).set(scales, firstBlock)
}

function extreme(rows: Float32Array, from: number, choose: (a: number, b: number) => number): number {
  let found = 0
  for (let i = from; i < from + BLOCK; i++) found = choose(found, rows[i])
  return found
}

/** One number for each block of a part. */
const ofBlocks = (rows: Float32Array, of: (from: number) => number): Float32Array =>
  Float32Array.from({ length: rows.length / BLOCK }, (_, block) => of(block * BLOCK))
