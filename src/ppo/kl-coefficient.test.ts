import { expect, test } from 'vitest'
import { adaptedKlCoefficient } from './kl-coefficient.ts'

const kl = { coefficient: 0.2, target: 6, horizon: 1000 }

test.each([
  // [KL, samples, β after 0.2]: error = KL / 6 − 1, at most 0.2 either way
  [6, 100, 0.2],
  [6.6, 100, 0.2 * (1 + 0.1 * 0.1)],
  [60, 100, 0.2 * (1 + 0.2 * 0.1)],
  [5.4, 500, 0.2 * (1 - 0.1 * 0.5)],
  [0, 500, 0.2 * (1 - 0.2 * 0.5)],
  [-1, 500, 0.2 * (1 - 0.2 * 0.5)], // an estimate may be negative
])('after a KL of %s over %s samples β is %s', (seen, samples, wanted) => {
  expect(adaptedKlCoefficient(0.2, { kl: seen, samples }, kl)).toBeCloseTo(wanted, 12)
})

test('without a target β stays', () => {
  expect(adaptedKlCoefficient(0.2, { kl: 60, samples: 100 }, { ...kl, target: null })).toBe(0.2)
})
