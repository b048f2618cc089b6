import { describe, expect, test } from 'vitest'
import { type Draws, seededRandom } from './random.ts'

const DRAWS = 20_000
const MANY_DRAWS = 200_000
const random = seededRandom(42)
const many = (draw: () => number, count = DRAWS) => Array.from({ length: count }, draw)
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
const moment = (values: readonly number[], power: number) => mean(values.map((value) => value ** power))
const first = (draws: Draws) => many(draws.uniform, 5)

describe('a draw', () => {
  test('is decided by seed, name and coordinates', () => {
    expect(first(seededRandom(42).at('behaviour', 3, 'a'))).toEqual(first(random.at('behaviour', 3, 'a')))
    expect(random.seed).toBe(42)
  })

  test('of seed 42 is this one, in every version', () => {
    const draws = random.at('behaviour', 3)
    expect(draws.uniform()).toBe(0.21254155140859432)
    expect(draws.normal()).toBeCloseTo(1.7644226021157983, 12) // the last bits of log and cos are the processor's
    expect(draws.integer(1000)).toBe(569)
  })

  test('differs at every other address', () => {
    const streams = [
      random.at('behaviour', 3),
      random.at('behaviour', 4),
      random.at('behaviour'),
      random.at('behaviour', 3, 0),
      random.at('behaviour', '3'),
      random.at('behaviour,3'),
      random.at('lora', 3),
      random.at('', 3),
      seededRandom(43).at('behaviour', 3),
    ].map((draws) => String(first(draws)))
    expect(new Set(streams).size).toBe(streams.length)
  })

  test('does not depend on what was drawn before or elsewhere', () => {
    const wanted = first(random.at('x', 1))
    const [x, y] = [random.at('x', 1), random.at('y', 1)]
    const interleaved = Array.from({ length: 5 }, () => {
      y.normal()
      random.at('z').uniform()
      return x.uniform()
    })
    expect(interleaved).toEqual(wanted)
  })

  test('takes the same share of a stream whatever it is: one kind of draw can follow another', () => {
    const [a, b] = [random.at('mixed'), random.at('mixed')]
    a.integer(7)
    b.uniform()
    expect(a.uniform()).toBe(b.uniform())
  })
})

describe('uniform draws', () => {
  const values = many(random.at('uniform').uniform)

  test('lie in [0, 1)', () => {
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...values)).toBeLessThan(1)
    expect(Math.max(...values) - Math.min(...values)).toBeGreaterThan(0.999)
  })

  test('have mean 1/2 and variance 1/12', () => {
    const [center, variance] = [mean(values), moment(values, 2) - mean(values) ** 2]
    expect(Math.abs(center - 1 / 2)).toBeLessThan(4 * Math.sqrt(1 / 12 / DRAWS))
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(4 * Math.sqrt(1 / 180 / DRAWS))
  })

  test('fill a hundred bins evenly', () => {
    expect(
      chiSquare(
        values.map((value) => Math.floor(value * 100)),
        100,
      ),
    ).toBeLessThan(CHI_SQUARE_99)
  })

  test('use all 53 bits, the low ones evenly as well', () => {
    const low = values.map((value) => (value * 2 ** 53) % 100)
    expect(low.every(Number.isInteger)).toBe(true)
    expect(chiSquare(low, 100)).toBeLessThan(CHI_SQUARE_99)
  })

  test('do not follow from the draw before', () => {
    const pairs = values.slice(1).map((value, i) => 10 * Math.floor(values[i] * 10) + Math.floor(value * 10))
    expect(chiSquare(pairs, 100)).toBeLessThan(CHI_SQUARE_99)
  })

  test('at neighbouring addresses are independent: first draws fill the bins evenly too', () => {
    const firsts = Array.from({ length: DRAWS }, (_, step) => random.at('step', step).uniform())
    expect(
      chiSquare(
        firsts.map((value) => Math.floor(value * 100)),
        100,
      ),
    ).toBeLessThan(CHI_SQUARE_99)
  })
})

test('normal draws have mean 0, variance 1, no skew and a fourth moment of 3', () => {
  const values = many(random.at('normal').normal, MANY_DRAWS)
  expect(values.every(Number.isFinite)).toBe(true)
  // four standard errors of each moment: the variances of z, z², z³ and z⁴ are 1, 2, 15 and 96
  for (const [power, wanted, variance] of [
    [1, 0, 1],
    [2, 1, 2],
    [3, 0, 15],
    [4, 3, 96],
  ])
    expect(Math.abs(moment(values, power) - wanted), `moment ${power}`).toBeLessThan(
      4 * Math.sqrt(variance / MANY_DRAWS),
    )
  expect(mean(values.map((value) => Number(Math.abs(value) < 1)))).toBeCloseTo(0.6827, 2)
})

test('integers are whole, below their bound, and each as likely as the others', () => {
  for (const below of [1, 2, 7, 100]) {
    const { integer } = random.at('integer', below)
    const values = many(() => integer(below))
    expect(values.every((value) => Number.isInteger(value) && value >= 0 && value < below)).toBe(true)
    expect(new Set(values).size).toBe(below)
    if (below === 100) expect(chiSquare(values, below)).toBeLessThan(CHI_SQUARE_99)
  }
})

/** Σ (observed − expected)² / expected over equally likely bins. */
function chiSquare(bins: readonly number[], count: number): number {
  const observed = new Array<number>(count).fill(0)
  for (const bin of bins) observed[bin]++
  const expected = bins.length / count
  return observed.reduce((sum, value) => sum + (value - expected) ** 2 / expected, 0)
}

const CHI_SQUARE_99 = 148 // 99 degrees of freedom; a fair generator passes it once in a thousand times
