/** @file From float32 to the blocks of GGUF that are written. */
import { narrowToFloat16 } from '../dtypes.ts'
import { BLOCK_TYPES, bytesOfBlocks } from './block-types.ts'

/** The types that are written. */
export type WrittenType = 'F32' | 'F16' | 'Q8_0'

/** The bytes of values that fill whole blocks; undefined where the type cannot hold one of them. */
export function encodeBlocks(type: WrittenType, values: Float32Array): Uint8Array | undefined {
  if (type === 'Q8_0') return encodeQ80(values)
  if (type === 'F16') return encodeF16(values)
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

function encodeF16(values: Float32Array): Uint8Array | undefined {
  const bits = narrowToFloat16(values)
  if (bits.some((half) => (half & 0x7c00) === 0x7c00)) return undefined // no number, or one above 65,504
  return new Uint8Array(bits.buffer)
}

/** The largest of 32 magnitudes is 127 steps of a float16 scale; rounding half away from zero, all as ggml does it. */
function encodeQ80(values: Float32Array): Uint8Array | undefined {
  const { elements, bytes } = BLOCK_TYPES.Q8_0
  const blocks = new Uint8Array(bytesOfBlocks('Q8_0', values.length))
  const scale = new Float32Array(1)
  for (let from = 0, at = 0; from < values.length; from += elements, at += bytes) {
    const block = values.subarray(from, from + elements)
    let largest = 0
    for (const value of block) largest = Math.max(largest, Math.abs(value)) // a NaN stays one
    scale[0] = largest / 127
    const [half] = narrowToFloat16(scale)
    if ((half & 0x7c00) === 0x7c00) return undefined
    const inverse = scale[0] === 0 ? 0 : Math.fround(1 / scale[0])
    blocks[at] = half & 255
    blocks[at + 1] = half >> 8
    for (const [i, value] of block.entries()) {
      const steps = Math.fround(value * inverse)
      blocks[at + 2 + i] = Math.sign(steps) * Math.floor(Math.abs(steps) + 0.5)
    }
  }
  return blocks
}
