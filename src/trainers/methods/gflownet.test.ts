import { afterAll, beforeAll, expect, test } from 'vitest'
import { exactProblem, modelFolder, rewards } from '../../../test/exact-posterior.ts'
import { type LanguageModel, loadLanguageModel } from '../../models/language-model.ts'
import { fineTune } from '../train.ts'

let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(modelFolder, { threads: 1 })
})
afterAll(() => model.dispose())

test('exploration may fade: first all latents are tempered, in the end none is', async () => {
  const { problem, options } = exactProblem(model, 4, 2)
  const run = fineTune({
    ...options,
    ...{ model, prompts: [problem.prompt], reward: rewards.tempered },
    ...{ steps: 3, promptsPerStep: 1, samplesPerPrompt: 4 },
    sources: { tempered: { from: 1, to: 0, steps: 2 }, replay: 0 },
  })
  const own: number[] = [] // latents of the policy itself, of which the samples are
  for await (const event of run) if (event.kind === 'samples') own.push(event.samples.length)
  expect(own).toEqual([0, 2, 2]) // two of a prompt are shown
})
