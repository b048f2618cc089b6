import { expect, expectTypeOf, test } from 'vitest'
import type { z } from 'zod'
import { type Trajectory, terminalLogReward, trajectorySchema } from './trajectory.ts'

const trajectory: Trajectory = {
  tokens: [7, 0, 50_256],
  logReward: [-Infinity, -Infinity, -31.400000000000002, -1 / 3],
  inserted: [1, 2],
  untempered: [-Infinity, -2, -3, -1 / 7],
  source: 'tempered',
}

test('a trajectory survives JSON to the last bit, its impossible endings included', () => {
  expect(trajectorySchema.parse(JSON.parse(JSON.stringify(trajectory)))).toStrictEqual(trajectory)
})

test('a trajectory without a tool and without untempered terms comes back without them', () => {
  const { inserted: _, untempered: __, ...plain } = trajectory
  expect(trajectorySchema.parse(JSON.parse(JSON.stringify(plain)))).toStrictEqual(plain)
})

test('the empty latent has one prefix and its reward is the terminal one', () => {
  const empty: Trajectory = { tokens: [], logReward: [-4], source: 'policy' }
  expect(trajectorySchema.parse(empty)).toStrictEqual(empty)
  expect(terminalLogReward(empty)).toBe(-4)
  expect(terminalLogReward(trajectory)).toBe(-1 / 3)
})

test.each([
  ['a missing log-reward', { ...trajectory, logReward: [-1, -2, -3] }],
  ['a missing untempered term', { ...trajectory, untempered: [-1, -2, -3] }],
  ['an inserted token that is not there', { ...trajectory, inserted: [3] }],
  ['an insertion that goes backwards', { ...trajectory, inserted: [2, 1] }],
  ['a token that is no index', { ...trajectory, tokens: [1, 2.5, 3] }],
  ['an unknown source', { ...trajectory, source: 'dream' }],
])('%s is refused', (_, damaged) => {
  expect(trajectorySchema.safeParse(damaged).success).toBe(false)
})

test('what the schema reads is a Trajectory', () => {
  expectTypeOf<z.output<typeof trajectorySchema>>().toExtend<Trajectory>()
})
