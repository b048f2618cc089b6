import { afterAll, beforeAll, expect, test } from 'vitest'
import { exactProblem, modelFolder, rewards } from '../../../test/exact-posterior.ts'
import { compareExactly, enumeratePolicy, enumerateRewards } from '../../evaluation/enumerate.ts'
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

test('further updates of a step bring the sampler nearer to its target with the same latents drawn', async () => {
  const { problem, options } = exactProblem(model, 6, 2)
  const target = await enumerateRewards(problem, rewards.tempered)
  const trained = async (updatesPerStep: number) => {
    const run = fineTune({
      ...options,
      ...{ model, prompts: [problem.prompt], reward: rewards.tempered, rewardTemperature: 1, updatesPerStep },
      ...{ steps: 30, promptsPerStep: 1, samplesPerPrompt: 32, sources: { tempered: 0.25, replay: 0.25 } },
    })
    let drawn = 0
    for await (const event of run) {
      if (event.kind === 'step') drawn += event.metrics['samples/count']
      if (event.kind !== 'finished') continue
      const { totalVariation } = compareExactly(target, await enumeratePolicy(problem, event.state.adapter))
      return { drawn, totalVariation, updates: event.state.optimizer.step }
    }
    throw new Error('the run ended without its last event')
  }
  const [once, thrice] = [await trained(1), await trained(3)]
  expect(once.updates).toBe(30)
  expect(thrice).toMatchObject({ updates: 90, drawn: once.drawn })
  expect(thrice.totalVariation).toBeLessThan(once.totalVariation)
})
