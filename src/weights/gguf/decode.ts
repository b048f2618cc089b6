/**
 * @file From GGUF's blocks to float32. A value is scale · q or scale · q + minimum, with q a small whole number; scales
 * are float16. Products of scales and whole numbers are exact in double precision, so that every value is rounded once,
 * as in ggml. The K formats, whose blocks of 256 have scales of scales, are in decode-k.ts.
 */
import { widenBfloat16, widenFloat16 } from '../dtypes.ts'
import { BLOCK_TYPES, type BlockType } from './block-types.ts'
import { decodeQ2K, decodeQ3K, decodeQ4K, decodeQ5K, decodeQ6K } from './decode-k.ts'
import { float16At } from './float16.ts'

/** Writes the values of one block, which begins at `at`, from `to` on. */
export type DecodeBlock = (bytes: Uint8Array, at: number, values: Float32Array, to: number) => void

const BLOCK_DECODERS: Partial<Record<BlockType, DecodeBlock>> = {
  Q4_0: decodeQ4With(() => 0, 8, 2),
  Q4_1: decodeQ4With((bytes, at) => float16At(bytes, at + 2), 0, 4),
  Q5_0: decodeQ5With(() => 0, 16, 2),
  Q5_1: decodeQ5With((bytes, at) => float16At(bytes, at + 2), 0, 4),
  Q8_0: decodeQ80,
  Q2_K: decodeQ2K,
  Q3_K: decodeQ3K,
  Q4_K: decodeQ4K,
  Q5_K: decodeQ5K,
  Q6_K: decodeQ6K,
}

/** The float32 values of whole blocks, written into `values`. `bytes` must begin on a multiple of 4 in its buffer. */
export function decodeBlocks(type: BlockType, bytes: Uint8Array, values: Float32Array): void {
  const decode = BLOCK_DECODERS[type]
  const { elements, bytes: blockBytes } = BLOCK_TYPES[type]
  if (decode) {
    for (let at = 0, to = 0; at < bytes.length; at += blockBytes, to += elements) decode(bytes, at, values, to)
  } else if (type === 'F32') {
    values.set(new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4))
  } else {
    const bits = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
    if (type === 'F16') widenFloat16(bits, values)
    else widenBfloat16(bits, values)
  }
}

type Minimum = (bytes: Uint8Array, at: number) => number

/** 4 bits each: the low halves of 16 bytes are the first 16 values, the high halves the others. */
function decodeQ4With(minimum: Minimum, offset: number, quantsAt: number): DecodeBlock {
  return (bytes, at, values, to) => {
    const [scale, base] = [float16At(bytes, at), minimum(bytes, at)]
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + quantsAt + i]
      values[to + i] = scale * ((pair & 15) - offset) + base
      values[to + 16 + i] = scale * ((pair >> 4) - offset) + base
    }
  }
}

/** As 4 bits, with the fifth bits of all 32 values in a word before them. */
function decodeQ5With(minimum: Minimum, offset: number, highAt: number): DecodeBlock {
  return (bytes, at, values, to) => {
    const [scale, base] = [float16At(bytes, at), minimum(bytes, at)]
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + highAt + 4 + i]
      const [low, high] = [fifthBit(bytes, at + highAt, i), fifthBit(bytes, at + highAt, 16 + i)]
      values[to + i] = scale * (((pair & 15) | low) - offset) + base
      values[to + 16 + i] = scale * (((pair >> 4) | high) - offset) + base
    }
  }
}

const fifthBit = (bytes: Uint8Array, at: number, i: number) => ((bytes[at + (i >> 3)] >> (i & 7)) & 1) << 4

function decodeQ80(bytes: Uint8Array, at: number, values: Float32Array, to: number): void {
  const scale = float16At(bytes, at)
  for (let i = 0; i < 32; i++) values[to + i] = scale * ((bytes[at + 2 + i] << 24) >> 24)
}
