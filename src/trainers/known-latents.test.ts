import { afterAll, beforeAll, expect, test } from 'vitest'
import { emptyBuffer } from '../gflownet/replay-buffer.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { tempered } from '../rewards/tempered.ts'
import { calculator } from '../sampling/calculator.ts'
import { bindTool } from '../sampling/tools.ts'
import { embeddedModel } from '../tasks/embedded.ts'
import { parseTrainingConfig } from './config.ts'
import type { TrainingEvent } from './events.ts'
import { seedBuffer } from './known-latents.ts'
import { resolvePrompts, supportOf } from './prompts.ts'
import { fineTune } from './train.ts'

let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(embeddedModel, { threads: 1 })
})
afterAll(() => model.dispose())

const latent = { minTokens: 2, maxTokens: 12, forbiddenTokens: ['!'] }
const inputs = [
  { prompt: 'Tom had a dog.', known: [' The dog was big.', ' They ran home'] },
  {
    prompt: 'Lily saw a cat.',
    known: [' He!', ' .', ' They went to the park and played and played and played all day.'],
  },
  { prompt: 'It was a big day.' },
]

test('known latents are scored and kept, with or without the full stop; those that could not be sampled are counted', async () => {
  const config = parseTrainingConfig({ latent }, 'test')
  const support = supportOf(config, model)
  const prompts = resolvePrompts(inputs, { model, reward: tempered(), maxTokens: 12 })
  const { buffer, warning } = await seedBuffer(emptyBuffer(config.replay), prompts, { model, support, config })
  expect(Object.keys(buffer.prompts)).toEqual(['Tom had a dog.'])
  const kept = buffer.prompts['Tom had a dog.']
  expect(kept.map(({ tokens }) => model.tokenizer.decodeContinuation(tokens)).sort()).toEqual([
    ' The dog was big',
    ' They ran home',
  ])
  for (const { source, logReward, tokens } of kept) {
    expect(source).toBe('data')
    expect(logReward).toHaveLength(tokens.length + 1)
    expect(logReward.slice(0, 2)).toEqual([-Infinity, -Infinity]) // the latent may not end there
    expect(logReward[tokens.length]).toBeLessThan(0)
  }
  expect(warning?.what).toBe('3 of 5 known latents are none that could be sampled, and were left out')
})

test('what a tool would write is known as its; a latent in which it would write otherwise is left out', async () => {
  const config = parseTrainingConfig({ latent: { maxTokens: 20 } }, 'test')
  const support = supportOf(config, model)
  const tool = bindTool(calculator(), model.tokenizer)
  const known = [' 2 + 7 = 9, 9 - 5 = 4.', ' 2 + 7 = 8.', ' 2 + 7 =.', ' 2 + 7']
  const prompts = resolvePrompts([{ prompt: 'Count.', known }], { model, reward: tempered(), maxTokens: 20 })
  const { buffer, warning } = await seedBuffer(emptyBuffer(config.replay), prompts, { model, support, config, tool })
  const kept = buffer.prompts['Count.'].map(({ tokens, inserted = [] }) => ({
    text: model.tokenizer.decodeContinuation(tokens),
    written: model.tokenizer.decodeContinuation(inserted.map((place) => tokens[place])),
  }))
  expect(kept.sort((a, b) => b.text.length - a.text.length)).toEqual([
    { text: ' 2 + 7 = 9, 9 - 5 = 4', written: ' 9 4' },
    { text: ' 2 + 7', written: '' },
  ])
  expect(warning).toMatchObject({
    what: expect.stringMatching(/^2 of 4 known/),
    fix: expect.stringMatching(/the tool writes$/),
  })
})

test('a run learns from them in its first step, and tells what was left out', async () => {
  const settings = { steps: 1, promptsPerStep: 3, samplesPerPrompt: 8, sources: { replay: 0.25 }, latent }
  const events: TrainingEvent[] = []
  for await (const event of fineTune({ model, prompts: inputs, reward: tempered(), ...settings })) events.push(event)
  expect(events.map(({ kind }) => kind)).toEqual(['started', 'warning', 'samples', 'step', 'finished'])
  const step = events.find((event) => event.kind === 'step')
  expect(step?.metrics['samples/count']).toBe(3 * 8 - 2) // two of one prompt's eight were replayed
  expect(step?.metrics['policy/firstTokenEntropy']).toBeGreaterThan(0)
})
