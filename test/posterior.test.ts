/** A trained sampler equals the exact posterior. This is the small version; `npm run verify` runs the full one. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compareExactly, enumeratePolicy, enumerateRewards } from '../src/evaluation/enumerate.ts'
import { objectiveNames } from '../src/gflownet/objectives.ts'
import { type LanguageModel, loadLanguageModel } from '../src/models/language-model.ts'
import { exactProblem, modelFolder, otherRewards, rewards, TEMPERATURE, trainExactly } from './exact-posterior.ts'

const LIMIT = 0.02 // total variation

let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(modelFolder)
})
afterAll(() => model.dispose())

test('the policy is a proper distribution over the support, and so is the exact posterior', async () => {
  const { problem } = exactProblem(model)
  const logQ = await enumeratePolicy(problem)
  expect(problem.latents).toHaveLength(1885)
  expect(logQ.reduce((sum, value) => sum + Math.exp(value), 0)).toBeCloseTo(1, 4)
  for (const reward of Object.values(rewards)) {
    const target = await enumerateRewards(problem, reward, TEMPERATURE)
    const { entropy, totalVariation } = compareExactly(target, logQ)
    expect(entropy).toBeGreaterThan(3)
    expect(totalVariation).toBeGreaterThan(0.5) // there is something to learn
  }
})

describe.each(objectiveNames)('%s', (objective) => {
  test('trains a sampler of the tempered density to within 0.02 of the truth, and one that fails against another', async () => {
    const small = exactProblem(model, 12, 2)
    const setting = { reward: rewards.tempered, temperature: TEMPERATURE, objective, steps: 200, samples: 64, seed: 1 }
    const { before, after, logQ } = await trainExactly(small, setting)
    expect(after.entropy).toBeGreaterThan(3)
    expect(before.totalVariation).toBeGreaterThan(0.5)
    expect(after.totalVariation).toBeLessThan(LIMIT)
    const other = await enumerateRewards(small.problem, rewards.posterior, TEMPERATURE)
    expect(compareExactly(other, logQ).totalVariation).toBeGreaterThan(LIMIT)
  })
})

test('trains a sampler of a constrained density, whose constraint the reward temperature leaves alone', async () => {
  const reward = otherRewards['constrained by a function']
  const small = exactProblem(model, 12, 2)
  const objective = 'subtrajectory-balance'
  const setting = { reward, temperature: TEMPERATURE, objective, steps: 120, samples: 64, seed: 1 } as const
  const { before, after, logQ } = await trainExactly(small, setting)
  expect(before.totalVariation).toBeGreaterThan(0.5)
  expect(after.totalVariation).toBeLessThan(LIMIT)
  const alsoTempered = await enumerateRewards(small.problem, reward)
  expect(compareExactly(alsoTempered, logQ, TEMPERATURE).totalVariation).toBeGreaterThan(0.2)
})

test('limits that hold for the reward too, renormalised, and a minimum length: the sampler is as exact', async () => {
  const { problem, options } = exactProblem(model, 12, 2)
  const limits = { minTokens: 1, renormaliseReward: true }
  const limited = {
    problem: {
      ...problem,
      support: { ...problem.support, ...limits },
      latents: problem.latents.filter(({ length }) => length > 0),
    },
    options: { latent: { ...options.latent, ...limits } },
  }
  const reward = rewards.tempered
  const renormalised = await enumerateRewards(limited.problem, reward)
  const restricted = await enumerateRewards(
    { ...limited.problem, support: { ...problem.support, minTokens: 1 } },
    reward,
  )
  expect(compareExactly(restricted, renormalised).totalVariation).toBeGreaterThan(0.1) // these are two densities
  const setting = { reward, temperature: TEMPERATURE, steps: 200, samples: 64, seed: 1 }
  const { before, after } = await trainExactly(limited, { ...setting, objective: 'subtrajectory-balance' })
  expect(after.entropy).toBeGreaterThan(3)
  expect(before.totalVariation).toBeGreaterThan(0.2)
  expect(after.totalVariation).toBeLessThan(LIMIT)
})
