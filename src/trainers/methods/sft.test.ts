import { afterAll, beforeAll, expect, test } from 'vitest'
import { exactProblem, modelFolder } from '../../../test/exact-posterior.ts'
import type { LoraAdapter } from '../../adapters/lora.ts'
import { entropy, klDivergence } from '../../evaluation/divergence.ts'
import { enumeratePolicy } from '../../evaluation/enumerate.ts'
import { type LanguageModel, loadLanguageModel } from '../../models/language-model.ts'
import type { TrainingOptions } from '../config.ts'
import type { TrainingEvent } from '../events.ts'
import { type PromptInput, resolvePrompts } from '../prompts.ts'
import { fineTune } from '../train.ts'

let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(modelFolder, { threads: 1 })
})
afterAll(() => model.dispose())

async function eventsOf(prompts: readonly PromptInput[], options: TrainingOptions): Promise<TrainingEvent[]> {
  const events: TrainingEvent[] = []
  for await (const event of fineTune({ model, prompts, method: 'sft', ...options })) events.push(event)
  return events
}

const trained = (events: readonly TrainingEvent[]): LoraAdapter => {
  const last = events.at(-1)!
  if (last.kind !== 'finished') throw new Error('the run ended without its last event')
  return last.state.adapter
}

test('learns the distribution of the known latents, how often each is given included', async () => {
  const { problem, options } = exactProblem(model, 4, 2)
  const { prompt, latents } = problem
  const counts = latents.map((_, i) => (i % 4 === 0 ? 1 + (i % 3) : 0)) // of 21 latents, six are known
  const known = latents.flatMap((latent, i) => new Array<readonly number[]>(counts[i]).fill(latent))
  const empirical = counts.map((count) => Math.log(count / known.length))
  const kl = async (adapter?: LoraAdapter) =>
    klDivergence({ of: empirical, from: await enumeratePolicy(problem, adapter) })
  expect(entropy(empirical)).toBeGreaterThan(1.5)
  expect(await kl()).toBeGreaterThan(1)
  const events = await eventsOf([{ prompt, known }], {
    ...options,
    steps: 150,
    promptsPerStep: 1,
    optimizer: { learningRate: { from: 5e-3, to: 1e-4, shape: 'cosine' } },
  })
  expect(await kl(trained(events))).toBeLessThan(0.01)
  // The loss is the cross-entropy of the empirical distribution, whose least value is its entropy
  const losses = events.flatMap((event) => (event.kind === 'step' ? [event.metrics['loss/objective']] : []))
  expect(losses[0]).toBeCloseTo(entropy(empirical) + (await kl()), 3)
  expect(losses.at(-1)).toBeLessThan(entropy(empirical) + 0.01)
  for (const event of events.filter((event) => event.kind === 'step')) {
    expect(event.metrics['reward/logMean']).toBeNaN()
    expect(event.metrics['samples/count']).toBe(known.length)
  }
})

test('a step takes some of many known latents, others in the next one, the same again with the same seed', async () => {
  const known = ['dog', 'cat', 'ball', 'sun', 'box', 'bird', 'tree', 'fish'].map((word) => ` The ${word} was big.`)
  const run = (seed: number) =>
    eventsOf([{ prompt: 'Tom had a dog.', known }], { seed, steps: 3, samplesPerPrompt: 2, promptsPerStep: 1 })
  const losses = (events: readonly TrainingEvent[]) =>
    events.flatMap((event) => (event.kind === 'step' ? [event.metrics['loss/objective']] : []))
  const [first, again, other] = [losses(await run(1)), losses(await run(1)), losses(await run(2))]
  expect(new Set(first).size).toBe(3)
  expect(again).toEqual(first)
  expect(other).not.toEqual(first)
})

test('prompts without a latent that could be sampled are left out, and where none has any the run is refused', async () => {
  const latent = { maxTokens: 8 }
  const [long] = [' They went to the park and played and played and played all day.']
  const prompts = [
    { prompt: 'Tom had a dog.', known: [' It was big.', long] },
    { prompt: 'Lily saw a cat.', known: [long] },
    { prompt: 'It was a big day.' },
  ]
  const events = await eventsOf(prompts, { steps: 2, promptsPerStep: 2, latent })
  expect(events.map(({ kind }) => kind)).toEqual([
    ...['started', 'warning', 'samples', 'step', 'samples', 'step', 'finished'],
  ])
  expect(events[1]).toMatchObject({
    what: expect.stringMatching(/^2 of 3 known latents are none that could be sampled/),
  })
  const [step] = events.filter((event) => event.kind === 'step')
  expect(step.metrics['samples/count']).toBe(2) // the first prompt's one latent, twice
  await expect(eventsOf(prompts.slice(1), { latent })).rejects.toThrow(
    /prompts: supervised fine-tuning learns from known latents, and none of those that are given could be sampled; see the limits/,
  )
  await expect(eventsOf(['It was a big day.'], { latent })).rejects.toThrow(/and no prompt has any; give some/)
})

test('a prompt still needs a reward where the method asks for it', () => {
  expect(() => resolvePrompts(['Tom had a dog.'], { model, maxTokens: 8 })).toThrow(/it has no reward/)
})
