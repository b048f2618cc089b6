import { describe, expect, test } from 'vitest'
import { seededRandom } from '../random.ts'
import { normalisedWeights, posteriorMean, resample } from './posterior-expectation.ts'

/** Draws from a proposal of three outcomes, with log weights towards a target. */
function draw(count: number, address: number) {
  const [proposal, target] = [
    [0.5, 0.3, 0.2],
    [0.1, 0.3, 0.6],
  ]
  const draws = seededRandom(1).at('draw', address)
  const outcomes = Array.from({ length: count }, (): number => {
    const mark = draws.uniform()
    return mark < 0.5 ? 0 : mark < 0.8 ? 1 : 2
  })
  return { outcomes, logWeights: outcomes.map((k) => Math.log((7 * target[k]) / proposal[k])) } // Z = 7
}

describe('a posterior mean', () => {
  test('is the weighted mean, and weights count up to a constant', () => {
    const logWeights = [1, 2, 5].map((weight) => Math.log(weight) - 900)
    const { value, standardError } = posteriorMean(logWeights, [10, 20, 30])
    expect(value).toBeCloseTo((10 + 40 + 150) / 8, 10)
    const deviations = [(1 * (10 - 25)) / 8, (2 * (20 - 25)) / 8, (5 * (30 - 25)) / 8]
    expect(standardError).toBeCloseTo(Math.hypot(...deviations), 10)
  })

  test('of equal weights is the plain mean with its standard error', () => {
    const { value, standardError } = posteriorMean([0, 0, 0, 0], [1, 2, 3, 6])
    expect(value).toBe(3)
    expect(standardError).toBeCloseTo(Math.sqrt(14) / 4, 12)
  })

  test('is within its errors of the truth, which the plain mean is not', () => {
    const estimates = Array.from({ length: 200 }, (_, repetition) => {
      const { outcomes, logWeights } = draw(400, repetition)
      return posteriorMean(logWeights, outcomes)
    })
    const within = estimates.filter(({ value, standardError }) => Math.abs(value - 1.5) < 1.96 * standardError)
    expect(within.length / 200).toBeGreaterThan(0.9) // 0.95 in the limit; 3 standard errors below it
    expect(within.length / 200).toBeLessThan(0.995)
    const { outcomes } = draw(400, 0)
    expect(outcomes.reduce((a, b) => a + b, 0) / 400).toBeLessThan(0.85)
  })

  test('leaves samples of weight zero aside, whatever their value', () => {
    expect(posteriorMean([0, -Infinity, 0], [1, Infinity, 3]).value).toBe(2)
    expect(() => posteriorMean([-Infinity, -Infinity], [1, 2])).toThrow('no distribution')
    expect(() => posteriorMean([0], [1, 2])).toThrow('1 weights for 2 values')
  })
})

describe('resampling', () => {
  test('draws each sample as often as its share says, to within one', () => {
    const logWeights = [0.05, 0, 0.31, 0.24, 0.4].map(Math.log)
    const shares = normalisedWeights(logWeights)
    for (let repetition = 0; repetition < 50; repetition++) {
      const drawn = resample(logWeights, 10, seededRandom(3).at('resample', repetition))
      expect(drawn).toHaveLength(10)
      for (const [sample, share] of shares.entries()) {
        const count = drawn.filter((index) => index === sample).length
        expect(Math.abs(count - 10 * share)).toBeLessThan(1)
        if (share === 0) expect(count).toBe(0)
      }
    }
  })

  test('turns samples of the proposal into samples of the target', () => {
    const counts = [0, 0, 0]
    for (let repetition = 0; repetition < 300; repetition++) {
      const { outcomes, logWeights } = draw(200, repetition)
      for (const index of resample(logWeights, 20, seededRandom(4).at('resample', repetition)))
        counts[outcomes[index]]++
    }
    for (const [outcome, target] of [0.1, 0.3, 0.6].entries())
      expect(Math.abs(counts[outcome] / 6000 - target)).toBeLessThan(0.01) // standard error about 0.003
  })

  test('gives the one sample that has all the weight', () => {
    expect(resample([-Infinity, -5, -Infinity], 3, seededRandom(0).at('one'))).toEqual([1, 1, 1])
  })
})
