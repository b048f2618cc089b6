import { expect, test } from 'vitest'
import { smoothed, spreadOf, spreadOverRuns } from './spread.ts'

test('the spread is a mean with one standard deviation over seeds to either side', () => {
  const { mean, low, high } = spreadOf([2, 4, 4, 4, 5, 5, 7, 9])
  expect(mean).toBe(5)
  expect([high - mean, mean - low]).toEqual([Math.sqrt(32 / 7), Math.sqrt(32 / 7)].map((x) => expect.closeTo(x, 12)))
  expect(spreadOf([3])).toEqual({ mean: 3, low: 3, high: 3 })
})

test('runs meet at the steps that they share, and what is no number is left out', () => {
  const runs = [
    [
      { x: 1, y: 2 },
      { x: 2, y: 5 },
      { x: 3, y: Number.NaN },
    ],
    [
      { x: 2, y: 7 },
      { x: 1, y: Number.NaN },
      { x: 3, y: Number.NaN },
    ],
  ]
  const spread = spreadOverRuns(runs)
  expect(spread.map(({ x, mean }) => [x, mean])).toEqual([
    [1, 2],
    [2, 6],
  ])
  expect(spread[1].high).toBeCloseTo(6 + Math.SQRT2, 12)
})

test('smoothing looks back, never ahead, and over what there is', () => {
  const run = [3, 5, Number.NaN, 1].map((y, x) => ({ x, y }))
  expect(smoothed(run, 2).map(({ y }) => y)).toEqual([3, 4, 5, 1])
  expect(smoothed(run, 1)).toEqual(run)
})
