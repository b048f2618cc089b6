import { afterAll, beforeAll, expect, test } from 'vitest'
import { exactProblem, modelFolder, rewards } from '../../test/exact-posterior.ts'
import { actionsOf, adding, withTool as naive } from '../../test/with-tool.ts'
import { normaliseLog } from '../evaluation/divergence.ts'
import {
  compareExactly,
  enumerateLatents,
  enumeratePolicy,
  enumerateRewards,
  withTool,
} from '../evaluation/enumerate.ts'
import { posteriorMean } from '../evaluation/posterior-expectation.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { seededRandom } from '../random.ts'
import { tempered } from '../rewards/tempered.ts'
import { bindTool } from '../sampling/tools.ts'
import { drawScored } from './draw.ts'
import { drawResampled, drawWeighted, targetTemperature } from './weighted-draw.ts'

let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(modelFolder, { threads: 2 })
})
afterAll(() => model.dispose())

/**
 * The base model against a posterior that is known: 16 latents of two of four words. Which word is last makes the
 * difference: the model seldom chooses the first of them, and it has nearly all of the posterior.
 */
async function problemAndTruth() {
  const { problem: whole } = exactProblem(model, 4, 2)
  const support = { ...whole.support, minTokens: 2 }
  const latents = enumerateLatents(support, model.description.dimensions.vocabulary)
  const problem = { ...whole, support, latents }
  const isGood = (tokens: readonly number[]) => Number(tokens[1] === latents[0][1])
  const logReward = await enumerateRewards(problem, rewards.tempered)
  const posterior = normaliseLog(logReward).map(Math.exp)
  const truth = latents.reduce((sum, latent, i) => sum + posterior[i] * isGood(latent), 0)
  expect(truth).toBeGreaterThan(0.9)
  const { logZ } = compareExactly(logReward, await enumeratePolicy(problem))
  const prompt = { name: 'girl', tokens: problem.prompt, reward: rewards.tempered, known: [] }
  const goodOf = (samples: readonly { tokens: readonly number[] }[]) => samples.map(({ tokens }) => isGood(tokens))
  return { sampler: { model, support, rewardTemperature: 1 }, prompt, logZ, truth, goodOf }
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

test('weighted samples give log Z and means of the posterior within their errors, and plain ones do not', async () => {
  const { sampler, prompt, logZ, truth, goodOf } = await problemAndTruth()
  const { samples, quality } = await drawWeighted(sampler, prompt, 2000, seededRandom(5))
  expect(Math.abs(quality.logZ.value - logZ)).toBeLessThan(4 * quality.logZ.standardError)
  expect(quality.logZ.standardError).toBeLessThan(0.15)
  const logWeights = samples.map(({ weight }) => Math.log(weight))
  const { value, standardError } = posteriorMean(logWeights, goodOf(samples))
  expect(Math.abs(value - truth)).toBeLessThan(4 * standardError)
  expect(standardError).toBeLessThan(0.01)
  expect(mean(goodOf(samples))).toBeLessThan(0.1)
})

test('the samples are those that are drawn without weights', async () => {
  const { sampler, prompt } = await problemAndTruth()
  const plain = await drawScored(sampler, prompt, { samples: 6, draws: seededRandom(2).at('sample') })
  const { samples } = await drawWeighted(sampler, prompt, 6, seededRandom(2))
  expect(samples.map(({ weight: _, ...sample }) => sample)).toEqual(plain)
  expect(samples.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 12)
})

test('resampled samples have the means of the posterior', async () => {
  const { sampler, prompt, truth, goodOf } = await problemAndTruth()
  const { samples } = await drawResampled(sampler, prompt, { samples: 100, pool: 2000 }, seededRandom(6))
  expect(samples).toHaveLength(100)
  expect(Math.abs(mean(goodOf(samples)) - truth)).toBeLessThan(0.03)
})

test('where a tool writes into samples, they are weighed as such, and say where', async () => {
  const { problem: chosen } = exactProblem(model, 8, 2)
  const tool = bindTool(adding(' was', [undefined, ' so', ' very happy']), model.tokenizer)
  const problem = await withTool(chosen, tool)
  const reward = tempered({ countInserted: false })
  const sampler = { model, support: problem.support, tool, rewardTemperature: 3 }
  const prompt = { name: 'girl', tokens: problem.prompt, reward, known: [] }
  const logReward = await enumerateRewards(problem, reward)
  const logQ = await enumeratePolicy(problem)
  const { logZ } = compareExactly(logReward, logQ, 3)
  const { samples, quality } = await drawWeighted(sampler, prompt, 1000, seededRandom(5))
  expect(Math.abs(quality.logZ.value - logZ)).toBeLessThan(4 * quality.logZ.standardError)
  expect(samples.filter(({ inserted }) => inserted).length).toBeGreaterThan(300)
  for (const { tokens, inserted = [], text, ...scores } of samples.slice(0, 100)) {
    const actions = actionsOf({ tokens, inserted })
    expect(await naive(tool, actions)).toEqual({ tokens, inserted })
    expect(text).toBe(model.tokenizer.decodeContinuation(tokens))
    const i = chosen.latents.findIndex((latent) => `${latent}` === `${actions}`)
    expect(Math.abs(scores.logQ - logQ[i])).toBeLessThan(1e-4)
    expect(Math.abs(scores.logReward - logReward[i])).toBeLessThan(1e-4)
  }
  const plain = await drawScored(sampler, prompt, { samples: 1000, draws: seededRandom(5).at('sample') })
  expect(samples.map(({ weight: _, ...sample }) => sample)).toEqual(plain)
  const resampled = await drawResampled(sampler, prompt, { samples: 50, pool: 200 }, seededRandom(6))
  expect(resampled.samples.some(({ inserted }) => inserted)).toBe(true)
})

test('rewards of zero are told instead of weighed', async () => {
  const { sampler, prompt } = await problemAndTruth()
  const none = {
    name: 'none',
    score: async (_: unknown, latents: readonly (readonly number[])[]) => ({
      logReward: latents.map((latent) => new Array<number>(latent.length + 1).fill(-Infinity)),
      parts: {},
    }),
  }
  await expect(drawWeighted(sampler, { ...prompt, reward: none }, 4, seededRandom(0))).rejects.toThrow(
    'girl: the reward of every sample is zero; draw more, or train the sampler',
  )
})

test('the density that a run was trained for is where its schedule leads', () => {
  expect(targetTemperature({ rewardTemperature: 2 })).toBe(2)
  expect(targetTemperature({ rewardTemperature: { from: 3, to: 1.5, shape: 'linear' } })).toBe(1.5)
})
