import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exactProblem, modelFolder, rewards, TEMPERATURE, trainExactly } from '../../test/exact-posterior.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { tempered } from '../rewards/tempered.ts'
import { parseTrainingConfig, type TrainingOptions } from './config.ts'
import { supportOf } from './prompts.ts'
import type { TrainingState } from './state.ts'
import { checkTraining, fineTune } from './train.ts'

let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(modelFolder, { threads: 1 })
})
afterAll(() => model.dispose())

const options: TrainingOptions = {
  rollouts: 'int8',
  steps: 4,
  promptsPerStep: 1,
  samplesPerPrompt: 8,
  latent: { maxTokens: 6 },
  seed: 3,
}
const task = { prompts: ['Tom had a dog.'], reward: tempered() }

/** Trains on, at most to a step. */
async function lastState(changes: TrainingOptions, { resume, until }: { resume?: TrainingState; until?: number } = {}) {
  const stop = new AbortController()
  for await (const event of fineTune({ model, ...task, ...options, ...changes, resume, signal: stop.signal })) {
    if (event.kind === 'step' && event.step === until) stop.abort()
    if (event.kind === 'finished') return event.state
  }
  throw new Error('the run ended without its last event')
}

test('sampled by an int8 copy, a sampler is trained to within 0.02 of the exact posterior, as with exact weights', async () => {
  const small = exactProblem(model, 12, 2)
  const setting = { reward: rewards.tempered, temperature: TEMPERATURE, steps: 200, samples: 64, seed: 1 } as const
  const train = (rollouts: 'exact' | 'int8') =>
    trainExactly(
      { ...small, options: { ...small.options, rollouts } },
      { ...setting, objective: 'subtrajectory-balance' },
    )
  const [exact, copied] = [await train('exact'), await train('int8')]
  expect(exact.after.totalVariation).toBeLessThan(0.02)
  expect(copied.before.totalVariation).toBeGreaterThan(0.5)
  expect(copied.after.totalVariation).toBeLessThan(0.02)
  expect(copied.logQ).not.toEqual(exact.logQ) // other latents were drawn
})

test('with every product of a step by int8 copies, a sampler is trained to within 0.03 of the exact posterior', async () => {
  const small = exactProblem(model, 12, 2)
  const setting = { reward: rewards.posterior, temperature: TEMPERATURE, steps: 200, samples: 64, seed: 1 } as const
  const everywhere = { rollouts: 'int8', scoring: 'int8', learning: 'int8' } as const
  const { before, after } = await trainExactly(
    { ...small, options: { ...small.options, ...everywhere } },
    { ...setting, objective: 'subtrajectory-balance' },
  )
  expect(before.totalVariation).toBeGreaterThan(0.5)
  expect(after.totalVariation).toBeLessThan(0.03)
})

test('log R is that of the exact weights, unless scoring is int8: then it is near it', async () => {
  expect(await farthestLogReward({})).toBeLessThan(1e-4)
  const near = await farthestLogReward({ scoring: 'int8' })
  expect(near).toBeGreaterThan(1e-4)
  expect(near).toBeLessThan(0.5)
})

/** How far stored log-rewards are from exact ones, at most. */
async function farthestLogReward(changes: TrainingOptions) {
  const state = await lastState({ steps: 2, ...changes })
  const [trajectories] = Object.values(state.buffer.prompts)
  expect(trajectories.length).toBeGreaterThan(3)
  const { description, tokenizer, lanes } = model
  const prompt = tokenizer.encode(task.prompts[0], { addSpecialTokens: true })
  const support = supportOf(parseTrainingConfig(options, 'test'), model)
  const latents = trajectories.map(({ tokens }) => [...tokens])
  const rewards = await lanes.use((lane) =>
    task.reward.score({ lane, model: description, tokenizer, support, prompt }, latents),
  )
  return Math.max(
    ...trajectories.flatMap(({ logReward }, n) =>
      logReward.map((value, i) => Math.abs(value - rewards.logReward[n][i])),
    ),
  )
}

test.each([{}, { scoring: 'int8', learning: 'int8' }] as const)(
  'a run that was stopped goes on to the same bits, with %o',
  async (changes) => {
    const { adapter, buffer } = await lastState(changes)
    const resume = structuredClone(await lastState(changes, { until: 2 }))
    const resumed = await lastState(changes, { resume })
    expect(resume.step).toBe(2)
    expect(resumed.adapter.weights).toEqual(adapter.weights)
    expect(resumed.buffer).toEqual(buffer)
  },
)

describe('where the copy would harm or not help it is refused by name, before any work', () => {
  const refused = (changes: TrainingOptions, lanes?: Partial<LanguageModel['lanes']>) =>
    checkTraining({ ...task, ...options, ...changes, model: { ...model, lanes: { ...model.lanes, ...lanes } } })

  test('methods that learn only from samples of the policy itself, or that sample nothing', async () => {
    await expect(refused({ method: 'ppo' })).rejects.toThrow(
      /rollouts is int8, but the method ppo .*leave rollouts exact/,
    )
    await expect(refused({ method: 'sft' })).rejects.toThrow(/the method sft/)
  })

  test('rewards of a method that asks for none', async () => {
    const changes = { rollouts: 'exact', scoring: 'int8', method: 'sft' } as const
    await expect(refused(changes)).rejects.toThrow(/scoring is int8, but the method sft asks for no reward/)
  })

  test('training every weight', async () => {
    const all = { parameters: 'all' } as const
    await expect(refused(all)).rejects.toThrow(
      /rollouts is int8, but with parameters "all" there are no frozen weights/,
    )
    const learning = { ...all, rollouts: 'exact', learning: 'int8' } as const
    await expect(refused(learning)).rejects.toThrow(/learning is int8, but with parameters "all"/)
  })

  test('devices other than the processor', async () => {
    await expect(refused({}, { device: 'webgpu' })).rejects.toThrow(/on the processor, and the model runs on webgpu/)
  })
})
