import { expect, test } from 'vitest'
import { summariseLikelihood } from './likelihood.ts'

test('the mean is over samples, the rate over tokens with one ⊤ a sample', () => {
  const { mean, best, perToken } = summariseLikelihood({ logLikelihoods: [-2, -10], lengths: [1, 3] })
  expect(mean).toEqual({ value: -6, standardError: 4 })
  expect(best).toBe(-2)
  expect(perToken).toBe(-12 / 6)
})

test('an impossible sample makes mean and rate infinite, not the best', () => {
  const { mean, best, perToken } = summariseLikelihood({ logLikelihoods: [-2, -Infinity], lengths: [0, 4] })
  expect([mean.value, best, perToken]).toEqual([-Infinity, -2, -Infinity])
})
