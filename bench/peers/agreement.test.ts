import { expect, test } from 'vitest'
import { differenceOf, isAlike, worstOf } from './agreement.ts'

const taken = (change: object = {}) => ({
  seconds: { sample: 1, reward: 1, learn: 1 },
  peakBytes: 1,
  loss: 10,
  gradientNorm: 2,
  logRewards: [[-10, -20], [-30]],
  ...change,
})

test('equal results are alike, also within a thousandth', () => {
  expect(isAlike(differenceOf(taken(), taken()))).toBe(true)
  expect(isAlike(differenceOf(taken(), taken({ loss: 10.005 })))).toBe(true)
})

test.each([
  ['the loss', { loss: 10.02 }],
  ['the gradient', { gradientNorm: 2.01 }],
  ['one reward of many', { logRewards: [[-10, -20.05], [-30]] }],
  ['a result that is no number', { loss: Number.NaN }],
  ['a reward that is no number', { logRewards: [[-10, Number.NaN], [-30]] }],
])('%s tells contestants apart', (_, change) => {
  expect(isAlike(differenceOf(taken(), taken(change)))).toBe(false)
})

test('the largest difference of rewards is told, relative to the reward', () => {
  const { logRewards, rewards } = differenceOf(taken(), taken({ logRewards: [[-10, -20], [-33]] }))
  expect(logRewards).toBeCloseTo(3 / 33, 12)
  expect(rewards).toBe(3)
})

test('rewards of other latents are a mistake of ours', () => {
  expect(() => differenceOf(taken(), taken({ logRewards: [[-10]] }))).toThrow('3 rewards of ours, 1 of the peer')
})

test('of several steps the worst counts', () => {
  const steps = [taken({ loss: 10.005 }), taken({ gradientNorm: 3 })].map((theirs) => differenceOf(taken(), theirs))
  const worst = worstOf(steps)
  expect(worst.loss).toBeCloseTo(0.005 / 10.005, 12)
  expect(worst.gradientNorm).toBeCloseTo(1 / 3, 12)
  expect(worst.rewards).toBe(6)
})
