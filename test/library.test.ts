/** The library as a user meets it: the example of the README, and the types of its names. */
import { afterAll, beforeAll, expect, expectTypeOf, test } from 'vitest'
import {
  embeddedModel,
  fineTune,
  type LanguageModel,
  loadLanguageModel,
  posterior,
  type Reward,
  type TrainingEvent,
  type TrainingState,
} from '../src/index.ts'

let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(embeddedModel, { threads: 1 })
})
afterAll(() => model.dispose())

const prompts = ['Once upon a time, there was a little girl named Lily.', 'Tom and Ben went to the park.']

test('the example: a stream of events that ends with the trained adapter', async () => {
  const run = fineTune({
    model,
    prompts,
    reward: posterior({ ending: 'They all went home happy.' }),
    latent: { maxTokens: 20 },
    seed: 1,
    steps: 2,
  })
  const events: TrainingEvent[] = []
  for await (const event of run) events.push(event)
  expect(events.map(({ kind, step }) => `${kind} ${step}`)).toEqual([
    'started 0',
    'samples 0',
    'step 1',
    'samples 1',
    'step 2',
    'finished 2',
  ])
  const [, samples] = events
  if (samples.kind !== 'samples') throw new Error('no samples')
  for (const { prompt, tokens, logQ, logReward } of samples.samples) {
    expect(prompts).toContain(prompt)
    expect(tokens.length).toBeLessThanOrEqual(20)
    expect(logQ).toBeLessThan(0)
    expect(logReward).toBeLessThan(0)
  }
  const last = events[events.length - 1]
  if (last.kind !== 'finished') throw new Error('no end')
  expect(last.reason).toBe('steps')
  const second = Object.entries(last.state.adapter.weights).filter(([name]) => name.endsWith('lora_B.weight'))
  expect(second.length).toBeGreaterThan(0)
  for (const [, { data }] of second) expect(data.some(Boolean)).toBe(true) // they begin as zeros
})

test('mistakes in the config are told before any work, all of them', async () => {
  const run = fineTune({
    model,
    prompts,
    reward: posterior({ ending: 'The end.' }),
    // @ts-expect-error a mistyped key does not compile either
    latent: { maxTokns: 20 },
    steps: 0,
  })
  await expect(run.next()).rejects.toThrow(
    'config: steps must be more than 0, got 0\nconfig: latent.maxTokns is not a known key; did you mean latent.maxTokens?',
  )
})

test('a prompt that leaves no room for the latent is refused by its name', async () => {
  const long = { name: 'the long one', prompt: new Array<number>(500).fill(300) }
  const run = fineTune({ model, prompts: [...prompts, long], reward: posterior({ ending: 'The end.' }) })
  await expect(run.next()).rejects.toThrow(
    'prompt 3 (the long one): it has 500 tokens; stories260K reads 512 and the latent may take 17; shorten it, or lower latent.maxTokens',
  )
})

test('the public types are what an editor should show', () => {
  expectTypeOf(loadLanguageModel).returns.resolves.toEqualTypeOf<LanguageModel>()
  expectTypeOf(fineTune).returns.toEqualTypeOf<AsyncGenerator<TrainingEvent>>()
  expectTypeOf(posterior).returns.toEqualTypeOf<Reward>()
  expectTypeOf<Extract<TrainingEvent, { kind: 'finished' }>['state']>().toEqualTypeOf<TrainingState>()
  expectTypeOf<Extract<TrainingEvent, { kind: 'step' }>['metrics']>().toHaveProperty('loss/objective')
})
