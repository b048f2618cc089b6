import { expect, test } from 'vitest'
import { behaviourTemperatures, countSources } from './behaviour.ts'

const sources = { tempered: 0.25, replay: 0.125, temperatures: { from: 0.8, to: 1.6 } }

test('every update has as many latents as the config says, whatever the fractions round to', () => {
  for (const fractions of [sources, { ...sources, tempered: 0.5, replay: 0.5 }])
    for (const samples of [1, 2, 3, 7, 32, 33])
      for (const replayable of [0, 1, 50]) {
        const { policy, tempered, replay } = countSources(samples, fractions, replayable)
        expect(policy + tempered + replay).toBe(samples)
        expect(Math.min(policy, tempered, replay)).toBeGreaterThanOrEqual(0)
      }
})

test('an empty buffer gives nothing, and the policy samples in its stead', () => {
  expect(countSources(32, sources, 0)).toEqual({ policy: 24, tempered: 8, replay: 0 })
  expect(countSources(32, sources, 3)).toEqual({ policy: 20, tempered: 8, replay: 4 })
})

test('tempered samples spread evenly over the range, those of the policy have temperature 1', () => {
  const temperatures = behaviourTemperatures({ policy: 2, tempered: 4, replay: 9 }, sources.temperatures)
  const expected = [1, 1, 0.9, 1.1, 1.3, 1.5]
  for (const [i, value] of temperatures.entries()) expect(value).toBeCloseTo(expected[i], 12)
  expect(temperatures).toHaveLength(6)
})
