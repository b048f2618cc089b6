/**
 * @file Floating-point numbers of 16 bits, as checkpoints store them, to float32 and back. Widening is exact for every
 * bit pattern (subnormals, infinities, the payload of a NaN); narrowing rounds to nearest, ties to even (IEEE 754).
 */

/** float32 bits of each of the 65,536 float16 bit patterns: a look-up is several times faster than the arithmetic. */
let float16Table: Uint32Array | undefined

/** The float32 values of float16 bits [n], written into `values` [n]. */
export function widenFloat16(bits: Uint16Array, values: Float32Array = new Float32Array(bits.length)): Float32Array {
  float16Table ??= Uint32Array.from({ length: 65536 }, (_, half) => widenedFloat16Bits(half))
  const words = wordsOf(values) // numbers would lose the payload of a NaN on the way
  for (let i = 0; i < bits.length; i++) words[i] = float16Table[bits[i]]
  return values
}

function widenedFloat16Bits(half: number): number {
  const sign = (half & 0x8000) << 16
  const exponent = (half >>> 10) & 31
  const mantissa = half & 1023
  if (exponent === 31) return sign | 0x7f800000 | (mantissa << 13) // infinity, NaN
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (mantissa << 13) // 112: the bias is 127 instead of 15
  return sign | bitsOf(mantissa * 2 ** -24) // a subnormal float16 is a normal float32
}

/** The float32 values of bfloat16 bits [n], written into `values` [n]. */
export function widenBfloat16(bits: Uint16Array, values: Float32Array = new Float32Array(bits.length)): Float32Array {
  const words = wordsOf(values)
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16
  return values
}

/** The float16 bits [n] nearest to float32 values [n]; what is too large becomes an infinity. */
export function narrowToFloat16(values: Float32Array): Uint16Array {
  return new Uint16Array(wordsOf(values).map(narrowedFloat16Bits))
}

function narrowedFloat16Bits(word: number): number {
  const sign = (word >>> 16) & 0x8000
  const magnitude = word & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff) // a quiet NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00 // from 65,520 on, infinity is the nearest
  // Beside 0.5 a float32 has steps of 2⁻²⁴, those of a subnormal float16: the addition rounds for us.
  if (magnitude < 0x38800000) return sign | (bitsOf(floatOf(magnitude) + 0.5) - 0x3f000000)
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
}

/** The bfloat16 bits [n] nearest to float32 values [n]. */
export function narrowToBfloat16(values: Float32Array): Uint16Array {
  return new Uint16Array(wordsOf(values).map(narrowedBfloat16Bits))
}

function narrowedBfloat16Bits(word: number): number {
  if ((word & 0x7fffffff) > 0x7f800000) return (word >>> 16) | 0x40 // a quiet NaN
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
}

const wordsOf = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length)

const scratch = new Float32Array(1)
const scratchBits = new Uint32Array(scratch.buffer)

function bitsOf(value: number): number {
  scratch[0] = value
  return scratchBits[0]
}

function floatOf(bits: number): number {
  scratchBits[0] = bits
  return scratch[0]
}
