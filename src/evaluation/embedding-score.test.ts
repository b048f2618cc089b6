import { expect, test } from 'vitest'
import { embeddingScore } from './embedding-score.ts'

const [east, north, northEast] = [
  [1, 0],
  [0, 1],
  [Math.SQRT1_2, Math.SQRT1_2],
]

test('each token is matched with its nearest one of the other text', () => {
  const { precision, recall, f1 } = embeddingScore([east, northEast], [east, north, north])
  expect(precision).toBeCloseTo((1 + Math.SQRT1_2) / 2, 12)
  expect(recall).toBeCloseTo((1 + 2 * Math.SQRT1_2) / 3, 12)
  expect(f1).toBeCloseTo((2 * precision * recall) / (precision + recall), 12)
})

test('a text is all in itself, whatever the order, and nothing is in no text', () => {
  expect(embeddingScore([east, north], [north, east])).toEqual({ precision: 1, recall: 1, f1: 1 })
  expect(embeddingScore([], [east])).toEqual({ precision: 0, recall: 0, f1: 0 })
  expect(embeddingScore([east], [north])).toEqual({ precision: 0, recall: 0, f1: 0 })
})
