import { afterAll, beforeAll, expect, test } from 'vitest'
import { exactProblem, modelFolder, rewards, trainExactly } from '../../test/exact-posterior.ts'
import { adding, keyOf, keysOf } from '../../test/with-tool.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { seededRandom } from '../random.ts'
import { tempered } from '../rewards/tempered.ts'
import { type BoundTool, bindTool } from '../sampling/tools.ts'
import { normaliseLog } from './divergence.ts'
import { compareExactly, compareShapes, enumeratePolicy, enumerateRewards, withTool } from './enumerate.ts'
import { evaluateSamplers, summarise } from './evaluate.ts'

const TEMPERATURE = 4

let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(modelFolder, { threads: 2 })
})
afterAll(() => model.dispose())

test.each(['no tool', 'a tool'])(
  'log Z and KL from samples agree with the enumerated truth within their errors: %s',
  async (which) => {
    const tool: BoundTool | undefined =
      which === 'a tool' ? bindTool(adding(' was', [undefined, ' so', ' very happy']), model.tokenizer) : undefined
    const { problem: chosen } = exactProblem(model, 12, 2)
    const problem = tool ? await withTool(chosen, tool) : chosen
    const reward = tempered({ countInserted: false })
    const truth = compareExactly(await enumerateRewards(problem, reward), await enumeratePolicy(problem), TEMPERATURE)
    const [result] = await evaluateSamplers({
      model,
      samplers: { base: undefined },
      support: problem.support,
      tool,
      prompts: [{ name: 'prompt', tokens: problem.prompt, reward }],
      samples: 4000,
      random: seededRandom(3),
      rewardTemperature: TEMPERATURE,
    })
    const { kl, meanLogQ, meanLogBase, samples } = result.samplers.base
    expect(Math.abs(result.logZ.value - truth.logZ)).toBeLessThan(4 * result.logZ.standardError)
    expect(Math.abs(kl.value - truth.klToPosterior)).toBeLessThan(4 * kl.standardError)
    expect(kl.standardError).toBeLessThan(0.2)
    expect(meanLogBase).toBe(meanLogQ) // the base model is its own base
    const possible = new Set(keysOf(problem))
    for (const { tokens, inserted = [] } of samples) expect(possible).toContain(keyOf({ tokens, inserted }))
    expect(samples.some(({ inserted }) => inserted)).toBe(which === 'a tool')
  },
)

test('best likelihoods and the variance of log R − log q are those of the samples', async () => {
  const { problem } = exactProblem(model, 6, 2)
  const prompts = [{ name: 'prompt', tokens: problem.prompt, reward: rewards.posterior }]
  const settings = { model, samplers: { base: undefined }, support: problem.support, prompts, samples: 32 }
  const [result] = await evaluateSamplers({ ...settings, random: seededRandom(2), rewardTemperature: TEMPERATURE })
  const { samples, bestLogQ, bestLogBase, ratioVariance, tokenDistance } = result.samplers.base
  const logQ = samples.map((sample) => sample.logQ)
  expect(bestLogQ).toBe(Math.max(...logQ))
  expect(bestLogBase).toBe(bestLogQ)
  const ratios = samples.map((sample) => sample.logReward - sample.logQ)
  const mean = ratios.reduce((a, b) => a + b) / 32
  expect(ratioVariance).toBeCloseTo(ratios.reduce((sum, ratio) => sum + (ratio - mean) ** 2, 0) / 32, 10)
  expect(tokenDistance).toBeGreaterThan(0)
  expect(tokenDistance).toBeLessThan(1)
})

test('the summary is the mean over prompts with the standard error of their spread', async () => {
  const { problem } = exactProblem(model, 4, 2)
  const prompts = [' was', ' and', ' to'].map((word) => ({
    name: word,
    tokens: [...problem.prompt, ...model.tokenizer.encodeContinuation(word)],
    reward: rewards.tempered,
  }))
  const settings = { model, samplers: { base: undefined }, support: problem.support, prompts, samples: 64 }
  const results = await evaluateSamplers({ ...settings, random: seededRandom(1) })
  expect(results.map(({ name }) => name)).toEqual([' was', ' and', ' to'])
  const values = results.map(({ samplers }) => samplers.base.kl.value)
  const mean = values.reduce((a, b) => a + b) / 3
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 2
  const { kl } = summarise(results).base
  expect(kl.value).toBeCloseTo(mean, 10)
  expect(kl.standardError).toBeCloseTo(Math.sqrt(variance / 3), 10)
  expect(await evaluateSamplers({ ...settings, random: seededRandom(1) })).toEqual(results)
})

test('length bias and first-token entropy from samples agree with the enumerated shapes', async () => {
  const exact = exactProblem(model, 12, 2)
  const { problem } = exact
  const reward = rewards.tempered
  const training = { reward, temperature: TEMPERATURE, steps: 60, samples: 32, seed: 1 }
  const { adapter, logQ } = await trainExactly(exact, { ...training, objective: 'subtrajectory-balance' })
  const logReward = await enumerateRewards(problem, reward, TEMPERATURE)
  const [result] = await evaluateSamplers({
    model,
    samplers: { base: undefined, tuned: adapter },
    support: problem.support,
    prompts: [{ name: 'prompt', tokens: problem.prompt, reward }],
    samples: 4000,
    random: seededRandom(4),
    rewardTemperature: TEMPERATURE,
  })
  for (const [name, sampler] of Object.entries({ base: await enumeratePolicy(problem), tuned: logQ })) {
    const shapes = compareShapes(problem.latents, { posterior: normaliseLog(logReward), sampler })
    const { lengthBias, firstTokenEntropyGap } = result.samplers[name]
    expect(Math.abs(lengthBias - shapes.lengthBias)).toBeLessThan(0.05)
    expect(Math.abs(firstTokenEntropyGap - shapes.firstTokenEntropyGap)).toBeLessThan(0.05)
  }
  expect(result.samplers.base.lengthBias).toBeGreaterThan(0.3) // there is something to find
  expect(result.samplers.base.firstTokenEntropyGap).toBeLessThan(-0.3)
})
