import { expect, test } from 'vitest'
import { distinctFraction, meanTokenDistance } from './diversity.ts'

test('each token sequence counts once', () => {
  expect(distinctFraction([[1, 2], [1, 2], [2, 1], [12]])).toBe(3 / 4)
  expect(distinctFraction([[5], [5], [5], [5]])).toBe(1 / 4)
  expect(distinctFraction([[1], [2], []])).toBe(1)
})

test('no samples have no diversity to speak of', () => {
  expect(distinctFraction([])).toBeNaN()
})

test('the mean distance of pairs is their edits by the longer one of each', () => {
  expect(
    meanTokenDistance([
      [1, 2, 3],
      [1, 2, 3],
    ]),
  ).toBe(0)
  expect(
    meanTokenDistance([
      [1, 2],
      [3, 4],
    ]),
  ).toBe(1)
  expect(meanTokenDistance([[1, 2, 3, 4], [1, 2], []])).toBeCloseTo((2 / 4 + 1 + 1) / 3, 12)
  expect(meanTokenDistance([[], []])).toBe(0)
  expect(meanTokenDistance([[1]])).toBeNaN()
  expect(meanTokenDistance([...new Array(200).fill([1]), ...new Array(50).fill([2])])).toBe(0) // the first ones stand for all
})
