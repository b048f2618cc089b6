import { expect, test } from 'vitest'
import { breakEven } from './break-even.ts'

const tuned = { seconds: 0.1, forwardTokens: 100, quality: -3 }
const rival = [
  { seconds: 0.1, forwardTokens: 100, quality: -7 },
  { seconds: 0.4, forwardTokens: 400, quality: -4 },
  { seconds: 1.6, forwardTokens: 1600, quality: -2 },
]

test('training has paid when what queries save at equal quality is what it took', () => {
  const { seconds, forwardTokens, isReached, queries } = breakEven(70, tuned, rival)
  expect(isReached).toBe(true)
  expect(seconds).toBeCloseTo(0.8, 10) // half way between 0.4 and 1.6, in logarithms
  expect(forwardTokens).toBeCloseTo(800, 8)
  expect(queries).toBe(100)
})

test('where the rival does not get there its largest budget gives the most queries that it can take', () => {
  expect(breakEven(70, { ...tuned, quality: -1 }, rival)).toEqual({
    seconds: 1.6,
    forwardTokens: 1600,
    isReached: false,
    queries: Math.ceil(70 / 1.5),
  })
})

test('training never pays where the rival is as good at once', () => {
  const worse = { ...tuned, quality: -8 }
  expect(breakEven(70, worse, rival)).toMatchObject({ seconds: 0.1, queries: Infinity })
  expect(breakEven(70, { ...worse, seconds: 0.05 }, rival)).toMatchObject({ isReached: true, queries: Infinity })
})
