import { expect, test } from 'vitest'
import { temperedLogReward, temperedRewards, untemperedTerms } from './reward-temperature.ts'

test('a reward at temperature T is its T-th root', () => {
  expect([...temperedLogReward([-8, -2, 0, 4], 0.8)]).toEqual([-10, -2.5, 0, 5])
})

test('temperature 1 changes nothing', () => {
  expect([...temperedLogReward([-8.123456789, -2, 3], 1)]).toEqual([-8.123456789, -2, 3])
})

test('a reward of zero stays zero at every temperature', () => {
  for (const temperature of [0.5, 1, 2, Infinity])
    expect(temperedLogReward([-Infinity], temperature)[0]).toBe(-Infinity)
  expect(temperedLogReward([-Infinity], 2, [-Infinity])[0]).toBe(-Infinity)
})

test('only what is to be tempered is tempered', () => {
  const likelihood = [-6, -9]
  const constraint = [-1, 0.5]
  const total = likelihood.map((value, prefix) => value + constraint[prefix])
  expect([...temperedLogReward(total, 3, constraint)]).toEqual([-2 - 1, -3 + 0.5])
})

test('a reward says which of its terms are left alone', () => {
  const parts = { latent: [[-6, -9]], words: [[-1, 0]], length: [[0.5, 0.25]] }
  const scored = { logReward: [[-6.5, -8.75]], parts, untempered: ['words', 'length'] }
  expect(untemperedTerms(scored)).toEqual([[-0.5, 0.25]])
  expect(temperedRewards(scored, 3).map((row) => [...row])).toEqual([[-2.5, -2.75]])
  expect(untemperedTerms({ ...scored, untempered: [] })).toBeUndefined()
  expect(temperedRewards({ ...scored, untempered: undefined }, 2).map((row) => [...row])).toEqual([[-3.25, -4.375]])
})
