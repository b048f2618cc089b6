/** @file The K formats of GGUF: blocks of 256 values in groups of 16 or 32, whose small scales share one float16 scale. */
import { float16At } from './float16.ts'

/** 2 bits; 16 groups with scale and minimum of 4 bits each. */
export function decodeQ2K(bytes: Uint8Array, at: number, values: Float32Array, to: number): void {
  const [quants, scale, minimum] = [at + 16, float16At(bytes, at + 80), float16At(bytes, at + 82)]
  for (let i = 0; i < 256; i++) {
    const group = bytes[at + (i >> 4)]
    const q = (bytes[quants + byteOf2Bits(i)] >> shiftOf2Bits(i)) & 3
    values[to + i] = scale * (group & 15) * q - minimum * (group >> 4)
  }
}

/** 3 bits, the third bit apart and inverted; 16 groups with a scale of 6 bits. */
export function decodeQ3K(bytes: Uint8Array, at: number, values: Float32Array, to: number): void {
  const [quants, scales, scale] = [at + 32, at + 96, float16At(bytes, at + 108)]
  for (let i = 0; i < 256; i++) {
    const group = i >> 4
    const low = (bytes[scales + (group & 7)] >> (group < 8 ? 0 : 4)) & 15
    const high = (bytes[scales + 8 + (group & 3)] >> (2 * (group >> 2))) & 3
    const q = (bytes[quants + byteOf2Bits(i)] >> shiftOf2Bits(i)) & 3
    const third = (bytes[at + (i & 31)] >> (i >> 5)) & 1
    values[to + i] = scale * ((low | (high << 4)) - 32) * (q - (third ? 0 : 4))
  }
}

/** 4 bits; 8 groups with scale and minimum of 6 bits each. */
export function decodeQ4K(bytes: Uint8Array, at: number, values: Float32Array, to: number): void {
  for (let group = 0; group < 8; group++) {
    const [scale, minimum] = scaleAndMinimum(bytes, at, group)
    const [quants, shift] = [at + 16 + 32 * (group >> 1), 4 * (group & 1)]
    for (let i = 0; i < 32; i++) values[to + 32 * group + i] = scale * ((bytes[quants + i] >> shift) & 15) - minimum
  }
}

/** As 4 bits, with the fifth bits of each group in one bit of 32 bytes. */
export function decodeQ5K(bytes: Uint8Array, at: number, values: Float32Array, to: number): void {
  for (let group = 0; group < 8; group++) {
    const [scale, minimum] = scaleAndMinimum(bytes, at, group)
    const [quants, shift] = [at + 48 + 32 * (group >> 1), 4 * (group & 1)]
    for (let i = 0; i < 32; i++) {
      const q = ((bytes[quants + i] >> shift) & 15) | (((bytes[at + 16 + i] >> group) & 1) << 4)
      values[to + 32 * group + i] = scale * q - minimum
    }
  }
}

/** 6 bits, 4 and 2 apart; 16 groups with a scale of 8 bits. */
export function decodeQ6K(bytes: Uint8Array, at: number, values: Float32Array, to: number): void {
  const [upper, scales, scale] = [at + 128, at + 192, float16At(bytes, at + 208)]
  for (let i = 0; i < 256; i++) {
    const [half, within] = [i >> 7, i & 127]
    const low = (bytes[at + 64 * half + (within & 63)] >> (within < 64 ? 0 : 4)) & 15
    const high = (bytes[upper + 32 * half + (i & 31)] >> (2 * (within >> 5))) & 3
    const group = (bytes[scales + (i >> 4)] << 24) >> 24
    values[to + i] = scale * group * ((low | (high << 4)) - 32)
  }
}

/** Four values share a byte, at a distance of 32; 128 values share 32 bytes. */
const byteOf2Bits = (i: number) => 32 * (i >> 7) + (i & 31)
const shiftOf2Bits = (i: number) => 2 * ((i >> 5) & 3)

/**
 * Scale and minimum of a group in 4- and 5-bit blocks. Twelve bytes after the two float16 hold 6 bits of each: those of
 * groups 0 to 3 in the first eight bytes, those of 4 to 7 as 4 bits in the last four bytes and 2 in the tops of the first.
 */
function scaleAndMinimum(bytes: Uint8Array, at: number, group: number): [scale: number, minimum: number] {
  const small = at + 4
  const place = group & 3
  const [first, second, last] = [bytes[small + place], bytes[small + 4 + place], bytes[small + 8 + place]]
  const scale = group < 4 ? first & 63 : (last & 15) | ((first >> 2) & 48)
  const minimum = group < 4 ? second & 63 : (last >> 4) | ((second >> 2) & 48)
  return [float16At(bytes, at) * scale, float16At(bytes, at + 2) * minimum]
}
