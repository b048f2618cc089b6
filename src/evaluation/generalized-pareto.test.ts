import { expect, test } from 'vitest'
import { seededRandom } from '../random.ts'
import { fitGeneralizedPareto, paretoQuantile } from './generalized-pareto.ts'

test.each([0.2, 0.7, 1.1])('shape %d and scale of 20,000 draws are recovered', (shape) => {
  const draws = seededRandom(11).at('pareto', shape)
  const values = Float64Array.from({ length: 20_000 }, () =>
    paretoQuantile({ shape, scale: 3 }, draws.uniform()),
  ).sort()
  const fit = fitGeneralizedPareto(values)
  expect(Math.abs(fit.shape - shape)).toBeLessThan((4 * (1 + shape)) / Math.sqrt(20_000)) // asymptotic error of the estimate
  expect(Math.abs(fit.scale - 3)).toBeLessThan((4 * 3 * Math.sqrt(2 * (1 + shape))) / Math.sqrt(20_000))
})

test('a quantile is where the given fraction of the distribution lies below', () => {
  for (const shape of [-0.3, 0.2, 1.1]) {
    const x = paretoQuantile({ shape, scale: 2 }, 0.9)
    expect((1 + (shape * x) / 2) ** (-1 / shape)).toBeCloseTo(0.1, 13)
  }
  expect(paretoQuantile({ shape: 0, scale: 2 }, 0.9)).toBeCloseTo(-2 * Math.log(0.1), 13) // the exponential
})

test('values that are all equal to zero have no fit', () => {
  expect(fitGeneralizedPareto(new Float64Array(6)).shape).toBeNaN()
})
