import { expect, test } from 'vitest'
import { distinctFraction } from './diversity.ts'

test('each token sequence counts once', () => {
  expect(distinctFraction([[1, 2], [1, 2], [2, 1], [12]])).toBe(3 / 4)
  expect(distinctFraction([[5], [5], [5], [5]])).toBe(1 / 4)
  expect(distinctFraction([[1], [2], []])).toBe(1)
})

test('no samples have no diversity to speak of', () => {
  expect(distinctFraction([])).toBeNaN()
})
