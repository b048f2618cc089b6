import { expect, test } from 'vitest'
import { seededRandom } from '../random.ts'
import { effectiveSamples, systematicResample } from './resampling.ts'

test('a sample occurs as often as its weight says, to within one, and exactly so in the mean', () => {
  const weights = [0.5, 3, 0, 1.25, 0.25, 2]
  const total = weights.reduce((a, b) => a + b)
  const logWeights = weights.map((weight) => Math.log(weight) - 700) // far from what exp can hold unshifted
  const combs = 1000
  const times = weights.map(() => 0)
  for (let comb = 0; comb < combs; comb++) {
    const places = systematicResample(logWeights, 10, (comb + 0.5) / combs)
    expect(places).toHaveLength(10)
    expect(places).toEqual([...places].sort((a, b) => a - b))
    for (const [i, weight] of weights.entries()) {
      const count = places.filter((place) => place === i).length
      expect(Math.abs(count - (10 * weight) / total)).toBeLessThan(1)
      times[i] += count
    }
  }
  for (const [i, weight] of weights.entries()) expect(times[i] / combs).toBeCloseTo((10 * weight) / total, 2)
})

test('equal weights give every sample once, and no weight at all gives none', () => {
  for (const uniform of [0.001, 0.3, 0.999])
    expect(systematicResample(new Array(7).fill(-3), 7, uniform)).toEqual([0, 1, 2, 3, 4, 5, 6])
  expect(systematicResample([-Infinity, -Infinity], 5, 0.5)).toEqual([])
})

test('as many are given as were asked for, whatever the rounding', () => {
  const draws = seededRandom(1).at('rounding')
  for (let trial = 0; trial < 200; trial++) {
    const logWeights = Array.from({ length: 1 + draws.integer(300) }, () => draws.normal() * 5)
    for (const uniform of [0, 1 - 2 ** -53]) expect(systematicResample(logWeights, 64, uniform)).toHaveLength(64)
  }
})

test('the effective number of samples is all of them for equal weights and one for a single weight', () => {
  expect(effectiveSamples(new Array(8).fill(-900))).toBeCloseTo(8, 10)
  expect(effectiveSamples([0, -Infinity, -Infinity])).toBeCloseTo(1, 10)
  expect(effectiveSamples([Math.log(3), Math.log(1)])).toBeCloseTo(16 / 10, 10)
})
