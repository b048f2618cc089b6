import { expect, test } from 'vitest'
import { meanEstimate, sampleVariance } from './estimate.ts'

test('the standard error is the deviation of the samples over the root of their number', () => {
  const { value, standardError } = meanEstimate([2, 4, 4, 4, 5, 5, 7, 9])
  expect(value).toBe(5)
  expect(standardError).toBeCloseTo(Math.sqrt(32 / 7 / 8), 14)
})

test('equal samples have no error, one sample an unknown one, and none have no mean', () => {
  expect(meanEstimate([3, 3, 3])).toEqual({ value: 3, standardError: 0 })
  expect(meanEstimate([3])).toEqual({ value: 3, standardError: Number.NaN })
  expect(meanEstimate([])).toEqual({ value: Number.NaN, standardError: Number.NaN })
})

test('a large common offset costs no precision', () => {
  const samples = [1, 2, 3, 4].map((x) => 1e9 + x)
  expect(meanEstimate(samples).standardError).toBeCloseTo(meanEstimate([1, 2, 3, 4]).standardError, 12)
})

test('the variance divides by one less than the samples', () => {
  expect(sampleVariance([2, 4, 4, 4, 5, 5, 7, 9])).toBeCloseTo(32 / 7, 12)
  expect(sampleVariance([4])).toBeNaN()
})
