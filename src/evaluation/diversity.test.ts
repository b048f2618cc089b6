import { describe, expect, test } from 'vitest'
import {
  distinctFraction,
  distinctNgrams,
  logGramDeterminant,
  meanPairwiseCosineDistance,
  meanTokenDistance,
} from './diversity.ts'

test('each token sequence counts once', () => {
  expect(distinctFraction([[1, 2], [1, 2], [2, 1], [12]])).toBe(3 / 4)
  expect(distinctFraction([[5], [5], [5], [5]])).toBe(1 / 4)
  expect(distinctFraction([[1], [2], []])).toBe(1)
})

test('no samples have no diversity to speak of', () => {
  expect(distinctFraction([])).toBeNaN()
  expect(distinctNgrams([], 1)).toBeNaN()
  expect(distinctNgrams([[1], [2]], 2)).toBeNaN()
  expect(meanPairwiseCosineDistance([[1, 0]])).toBeNaN()
})

test('each n-gram counts once over all samples', () => {
  const samples = [
    ['the', 'dog', 'the', 'dog'],
    ['the', 'cat'],
  ]
  expect(distinctNgrams(samples, 1)).toBe(3 / 6)
  expect(distinctNgrams(samples, 2)).toBe(3 / 4) // the dog (twice), dog the, the cat
  expect(
    distinctNgrams(
      [
        [1, 23],
        [12, 3],
      ],
      2,
    ),
  ).toBe(1)
})

describe('of embeddings', () => {
  const orthogonal = [
    [1, 0, 0],
    [0, 2, 0],
    [0, 0, 3],
  ]

  test('the mean distance is 0 for equal directions, 1 for orthogonal and 2 for opposite ones', () => {
    expect(
      meanPairwiseCosineDistance([
        [1, 2],
        [2, 4],
        [0.5, 1],
      ]),
    ).toBeCloseTo(0, 12)
    expect(meanPairwiseCosineDistance(orthogonal)).toBe(1)
    expect(
      meanPairwiseCosineDistance([
        [1, 1],
        [-1, -1],
      ]),
    ).toBeCloseTo(2, 12)
    expect(
      meanPairwiseCosineDistance([
        [1, 0],
        [0, 1],
        [1, 0],
      ]),
    ).toBeCloseTo(2 / 3, 12)
  })

  test('the determinant is that of the regularised matrix of similarities', () => {
    const cosine = 0.6
    const [ridge, pair] = [
      1e-3,
      [
        [1, 0],
        [cosine, 0.8],
      ],
    ]
    expect(logGramDeterminant(pair)).toBeCloseTo(Math.log(1 - (cosine / (1 + ridge)) ** 2), 12)
    const [a, b, c] = [0.6, 0, 0.48].map((value) => value / (1 + ridge)) // similarities of the pairs of three
    const three = [
      [1, 0, 0],
      [0.6, 0.8, 0],
      [0, 0.6, 0.8],
    ]
    const byHand = 1 + 2 * a * b * c - a ** 2 - b ** 2 - c ** 2
    expect(logGramDeterminant(three)).toBeCloseTo(Math.log(byHand), 12)
  })

  test('the determinant is largest, 0, where all are orthogonal, and tells clusters of equals from samples that spread', () => {
    expect(logGramDeterminant(orthogonal)).toBe(0)
    const clusters = [
      [1, 0],
      [1, 0],
      [0, 1],
      [0, 1],
    ]
    const spread = [
      [1, 0],
      [0, 1],
      [1, 1],
      [1, -1],
    ]
    expect(
      logGramDeterminant([
        [1, 0],
        [1, 0],
      ]),
    ).toBeCloseTo(Math.log(2e-3), 2)
    expect(logGramDeterminant(clusters)).toBeCloseTo(2 * Math.log(2e-3), 1)
    const wide = spread.map((embedding, i) => [...embedding, i * 0.3])
    expect(logGramDeterminant(wide)).toBeGreaterThan(logGramDeterminant(clusters))
  })

  test('an embedding without a direction is refused', () => {
    expect(() =>
      meanPairwiseCosineDistance([
        [0, 0],
        [1, 0],
      ]),
    ).toThrow('length zero')
  })
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
