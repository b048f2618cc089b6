/** Overlapped steps: what they learn from, that stopping changes nothing, and that a failure ahead costs nothing behind. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exactProblem, modelFolder, rewards, TEMPERATURE, trainExactly } from '../../test/exact-posterior.ts'
import { UserError } from '../errors.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { explicit } from '../rewards/explicit.ts'
import type { TrainingOptions } from './config.ts'
import type { TrainingEvent } from './events.ts'
import { packState, type TrainingState, unpackState } from './state.ts'
import { checkTraining, type FineTuneOptions, fineTune } from './train.ts'

/** One lane of one thread, and two of them. */
let model: LanguageModel
let twoLanes: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(modelFolder, { threads: 1 })
  twoLanes = await loadLanguageModel(modelFolder, { threads: 2, lanes: 2 })
})
afterAll(() => Promise.all([model.dispose(), twoLanes.dispose()]))

const prompts = ['Tom had a dog.', 'Sue saw a cat.', 'The sun was hot.']
const options = {
  overlap: true,
  steps: 4,
  promptsPerStep: 1,
  samplesPerPrompt: 8,
  sources: { tempered: 0.25, replay: 0.25 },
  optimizer: { learningRate: 0.02, warmUpSteps: 0 },
  latent: { maxTokens: 6 },
  seed: 3,
} satisfies TrainingOptions
const reward = explicit((text) => Math.sin(text.length))

const eventsOf = async (given: Partial<FineTuneOptions>) => {
  const events: TrainingEvent[] = []
  for await (const event of fineTune({ model, prompts, reward, ...options, ...given }))
    events.push(structuredClone(event))
  return events
}
const samplesOf = (events: TrainingEvent[]) =>
  events.flatMap((event) =>
    event.kind === 'samples' ? [event.samples.map(({ prompt, tokens }) => ({ prompt, tokens }))] : [],
  )
const lastState = (events: TrainingEvent[]): TrainingState => {
  const last = events.at(-1)!
  if (last.kind !== 'finished') throw new Error('the run ended without its last event')
  return last.state
}

test('the latents of a step are drawn by the policy before the update of the step before', async () => {
  const [overlapped, ordinary, still] = [
    await eventsOf({}),
    await eventsOf({ overlap: false }),
    await eventsOf({ overlap: false, optimizer: { learningRate: 1e-12 } }),
  ].map(samplesOf)
  expect(overlapped[0]).toEqual(ordinary[0])
  expect(overlapped[1]).toEqual(still[1]) // by the first policy, which has not learned yet
  expect(ordinary[1]).not.toEqual(still[1])
  expect(overlapped[2]).not.toEqual(still[2])
  expect(overlapped.map(([{ prompt }]) => prompt)).toEqual(ordinary.map(([{ prompt }]) => prompt))
})

test('a sampler is trained to within 0.02 of the exact posterior', async () => {
  const small = exactProblem(twoLanes, 12, 2)
  const setting = { reward: rewards.tempered, temperature: TEMPERATURE, steps: 200, samples: 64, seed: 1 } as const
  const { before, after } = await trainExactly(
    { ...small, options: { ...small.options, overlap: true } },
    { ...setting, objective: 'subtrajectory-balance' },
  )
  expect(before.totalVariation).toBeGreaterThan(0.5)
  expect(after.totalVariation).toBeLessThan(0.02)
})

test.each([
  { promptsPerStep: 1 },
  { promptsPerStep: 2 },
  // scored and learned on different lanes, by copies that only one of them has made
  { promptsPerStep: 1, scoring: 'int8', learning: 'int8', reward: rewards.posterior },
] as const)('one lane and two learn the same to the bit, with %o', async (changes) => {
  const [one, two] = [await eventsOf(changes), await eventsOf({ ...changes, model: twoLanes })]
  expect(samplesOf(two)).toEqual(samplesOf(one))
  expect(lastState(two).adapter.weights).toEqual(lastState(one).adapter.weights)
})

test('a run that was stopped goes on to the same bits, by a checkpoint that holds what was collected', async () => {
  const whole = lastState(await eventsOf({}))
  const stop = new AbortController()
  let saved: ReturnType<typeof packState> | undefined
  for await (const event of fineTune({ model, prompts, reward, ...options, signal: stop.signal })) {
    if (event.kind === 'step' && event.step === 2) stop.abort()
    if (event.kind === 'finished') saved = structuredClone(packState(event.state))
  }
  const resume = unpackState(saved!)
  expect(resume.step).toBe(2)
  expect(resume.ahead).toHaveLength(1)
  expect(resume.ahead![0].fresh.length).toBeGreaterThan(0)
  expect(packState(lastState(await eventsOf({ resume })))).toEqual(packState(whole))
  expect(whole.ahead).toBeUndefined() // nothing is collected for a step that is not to come
  await expect(eventsOf({ resume: unpackState(saved!), prompts: ['Another one.'] })).rejects.toThrow(
    /not among the prompts/,
  )
})

test('where a reward fails for the step to come, the step that was learned meanwhile is there', async () => {
  let asked = 0
  const some = 3 * 8 * 7 // texts of three steps, where latents are as long as they may be
  const failing = explicit((text) => (asked++ < some ? text.length : Number.NaN))
  const seen: TrainingState[] = []
  const run = async () => {
    for await (const event of fineTune({
      model,
      prompts,
      reward: failing,
      ...options,
      steps: 20,
      checkpoints: { every: 1 },
    }))
      if (event.kind === 'checkpoint') seen.push(structuredClone(event.state))
  }
  await expect(run()).rejects.toThrow(UserError)
  const last = seen.at(-1)!
  expect(last.step).toBe(seen.length)
  expect(last.step).toBeGreaterThan(0)
  expect(last.ahead).toBeUndefined()
  expect(lastState(await eventsOf({ resume: last, steps: last.step + 1 })).step).toBe(last.step + 1)
})

describe('before any work', () => {
  test.each(['ppo', 'sft'] as const)('%s refuses it by name', async (method) => {
    const given = { model, prompts, reward, ...options, method }
    await expect(checkTraining(given)).rejects.toThrow(
      new RegExp(`overlap is on, but the method ${method} .*leave overlap off`),
    )
  })

  test('one lane is warned of, and two are not', async () => {
    const warnings = async (model: LanguageModel) =>
      (await eventsOf({ model, steps: 1 })).flatMap((event) => (event.kind === 'warning' ? [event.what] : []))
    expect(await warnings(model)).toEqual([expect.stringMatching(/overlap is on, and there is one lane/)])
    expect(await warnings(twoLanes)).toEqual([])
  })
})
