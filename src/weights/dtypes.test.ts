import { describe, expect, it } from 'vitest'
import { narrowToBfloat16, narrowToFloat16, widenBfloat16, widenFloat16 } from './dtypes.ts'

const allBits = Uint16Array.from({ length: 65536 }, (_, bits) => bits)

/** IEEE 754 binary16, spelled out: sign · 2^(exponent − 15) · 1.mantissa, and what is special about 0 and 31. */
function float16ByDefinition(bits: number): number {
  const sign = bits >> 15 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = (bits & 1023) / 1024
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return exponent === 0 ? sign * 2 ** -14 * fraction : sign * 2 ** (exponent - 15) * (1 + fraction)
}

describe('float16', () => {
  it('every bit pattern has the value that the standard gives it', () => {
    expect(Array.from(widenFloat16(allBits))).toEqual(Array.from(allBits, float16ByDefinition))
  })

  it('every value comes back to its bits, and a NaN stays one', () => {
    const back = narrowToFloat16(widenFloat16(allBits))
    const isSignallingNaN = (bits: number) => (bits & 0x7c00) === 0x7c00 && (bits & 0x3ff) !== 0 && !(bits & 0x200)
    expect(Array.from(back)).toEqual(Array.from(allBits, (bits) => (isSignallingNaN(bits) ? bits | 0x200 : bits)))
  })

  it('a number between two is rounded to the nearer, and half-way to the even one', () => {
    const positive = allBits.slice(0, 0x7c00) // finite, from 0 upwards
    const exact = widenFloat16(positive)
    const midpoints = Float32Array.from(exact.subarray(1), (value, i) => (value + exact[i]) / 2)
    const nudge = (word: number) => new Float32Array(Uint32Array.from(midpointWords, (w) => w + word).buffer)
    const midpointWords = new Uint32Array(midpoints.buffer)
    expect(Array.from(narrowToFloat16(midpoints))).toEqual(Array.from(midpoints, (_, i) => (i % 2 ? i + 1 : i)))
    expect(Array.from(narrowToFloat16(nudge(-1)))).toEqual(Array.from(midpoints, (_, i) => i))
    expect(Array.from(narrowToFloat16(nudge(1)))).toEqual(Array.from(midpoints, (_, i) => i + 1))
  })

  it('overflows to infinity from 65,520 on and not below', () => {
    expect(Array.from(narrowToFloat16(Float32Array.of(65519.996, 65520, -1e30)))).toEqual([0x7bff, 0x7c00, 0xfc00])
  })
})

describe('bfloat16', () => {
  it('is the upper half of a float32, so that every bit pattern comes back', () => {
    const values = widenBfloat16(allBits)
    expect(values[0x3fc0]).toBe(1.5)
    expect(values[0x0001]).toBe(2 ** -133) // the smallest subnormal
    const isSignallingNaN = (bits: number) => (bits & 0x7fff) > 0x7f80 && !(bits & 0x40)
    expect(Array.from(narrowToBfloat16(values))).toEqual(
      Array.from(allBits, (bits) => (isSignallingNaN(bits) ? bits | 0x40 : bits)),
    )
  })

  it('rounds to the nearest, half-way to the even one', () => {
    const words = Uint32Array.of(0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001, 0x7f7fffff)
    expect(Array.from(narrowToBfloat16(new Float32Array(words.buffer)))).toEqual([
      0x3f80, 0x3f82, 0x3f80, 0x3f81, 0x7f80,
    ])
  })
})
