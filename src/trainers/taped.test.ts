import { afterAll, beforeAll, expect, test } from 'vitest'
import { modelFolder } from '../../test/exact-posterior.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { tempered } from '../rewards/tempered.ts'
import { parseTrainingConfig, type TrainingOptions } from './config.ts'
import { isTaped } from './taped.ts'
import { fineTune } from './train.ts'

let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(modelFolder, { threads: 2, lanes: 2 })
})
afterAll(() => model.dispose())

/** Samples from which on even the smallest model gains by a tape. */
const ENOUGH = 800

/** Losses of some steps, with what the policy computed while it sampled or without. */
async function losses(recompute: 'nothing' | 'sampled', options: TrainingOptions): Promise<number[]> {
  const found: number[] = []
  const description = { ...model.description, recompute }
  const prompts = ['Tom had a dog.', 'Lily saw a big cat.'].map((prompt) => ({ prompt, reward: tempered() }))
  const run = { steps: 2, samplesPerPrompt: ENOUGH, latent: { maxTokens: 4 }, seed: 3 }
  for await (const event of fineTune({ model: { ...model, description }, prompts, ...run, ...options }))
    if (event.kind === 'step') found.push(event.metrics['loss/objective'])
  return found
}

test.each<[string, TrainingOptions]>([
  ['with replayed latents', {}],
  ['without', { sources: { replay: 0 } }],
  ['in several updates of a step, of which the first reads the tape', { updatesPerStep: 2 }],
])('a run learns the same from tapes as when it computes all again, %s', async (_, options) => {
  const [taped, again] = [await losses('nothing', options), await losses('sampled', options)]
  expect(taped).toHaveLength(2)
  for (const [step, loss] of taped.entries()) expect(Math.abs(loss / again[step] - 1)).toBeLessThan(1e-3)
})

test('latents of an earlier policy, or of another one, are no use, nor are those of a model that is quicker than a tape', () => {
  const of = (options: TrainingOptions) =>
    isTaped(parseTrainingConfig({ samplesPerPrompt: ENOUGH, ...options }, 'test'), model.description)
  expect(of({})).toBe(true)
  expect(of({ samplesPerPrompt: 64 })).toBe(false)
  expect(of({ rollouts: 'int8', learning: 'int8' })).toBe(true)
  expect(of({ rollouts: 'int8' })).toBe(false)
  expect(of({ overlap: true })).toBe(false)
  expect(of({ method: 'sft' })).toBe(false)
})
