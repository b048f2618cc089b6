import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exactProblem, modelFolder, rewards, trainExactly } from '../../../test/exact-posterior.ts'
import { type BaselineName, baselineNames } from '../../baselines/index.ts'
import { type LanguageModel, loadLanguageModel } from '../../models/language-model.ts'
import { seededRandom } from '../../random.ts'
import { klDivergence, normaliseLog } from '../divergence.ts'
import { compareExactly, enumeratePolicy, enumerateRewards } from '../enumerate.ts'
import { runsWithin } from './budgeted.ts'
import { type BaselineOptions, compareBaselines, summariseMethod } from './compare-baselines.ts'

const TEMPERATURE = 3

let model: LanguageModel
let logReward: number[]
let logQ: number[]
let options: Omit<BaselineOptions, 'names' | 'perQuery'>
let truth: ReturnType<typeof compareExactly>
beforeAll(async () => {
  model = await loadLanguageModel(modelFolder, { threads: 2 })
  const { problem } = exactProblem(model, 8, 2)
  const reward = rewards.posterior
  logReward = (await enumerateRewards(problem, reward)).map((value) => value / TEMPERATURE)
  logQ = await enumeratePolicy(problem)
  truth = compareExactly(logReward, logQ)
  options = {
    model,
    support: problem.support,
    samplers: { base: undefined },
    prompts: [{ name: 'prompt', tokens: problem.prompt, reward }],
    evaluations: [{ logZ: { value: truth.logZ, standardError: 0 } }],
    rewardTemperature: TEMPERATURE,
    random: seededRandom(5),
  }
})
afterAll(() => model.dispose())

/** What is measured of one method, with N = `perQuery`. */
async function measured(name: BaselineName, perQuery: number, budgets: number[] = []) {
  const { methods } = await compareBaselines({ ...options, names: [name], perQuery, budgets })
  const own = methods.filter(
    ({ method, budget }) => method === name && (budgets.length === 0) === (budget === undefined),
  )
  return own.map(({ answers: [answer] }) => answer!)
}

describe('KL(q ‖ posterior)', () => {
  test('of plain sampling is the enumerated one', async () => {
    const [{ measures }] = await measured('ancestral', 4000)
    expect(Math.abs(measures.kl! - truth.klToPosterior)).toBeLessThan(0.1)
    expect(measures.meanLogOwn!).toBeCloseTo(measures.meanLogBase, 4) // one computed token by token, one in one pass
  })

  test('of a search is log Z less the reward of what it finds', async () => {
    const [{ measures }] = await measured('greedy', 1)
    const found =
      logReward[logQ.indexOf(Math.max(...logQ.filter((value) => Math.abs(value - measures.meanLogOwn!) < 1e-4)))]
    expect(measures.kl!).toBeCloseTo(truth.logZ - found, 3)
  })

  test('of best of n is bounded by its own sampler’s and the best of n’s from that', async () => {
    const [{ measures, size }] = await measured('best-of-n', 500, [2000])
    expect(size).toBeGreaterThan(2)
    const best = bestOf(size)
    const fromSampler = best.reduce((sum, value, i) => sum + Math.exp(value) * (logQ[i] - logReward[i]), 0)
    const bound = Math.log(size) - (size - 1) / size + fromSampler + truth.logZ
    expect(Math.abs(measures.kl! - bound)).toBeLessThan(0.2)
    expect(bound).toBeGreaterThan(klDivergence({ of: best, from: normaliseLog(logReward) }))
  })

  test('of importance resampling is bounded by less the more it may compute, in one pool and in independent draws', async () => {
    const answers = await measured('importance-resampling', 4, [200, 2000, 40_000])
    const [few, , many] = answers.map(({ measures }) => measures)
    expect(many.kl!).toBeLessThan(0.3)
    expect(few.kl!).toBeGreaterThan(many.kl!)
    for (const { independentKl, kl } of [few, many]) expect(independentKl!).toBeGreaterThanOrEqual(kl! - 1e-9)
  })

  /** The exact log-probabilities of the best of n by reward; of equals the first is kept. */
  function bestOf(n: number): number[] {
    return logReward.map((reward, i) => {
      const massOf = (has: (other: number) => boolean) =>
        logQ.reduce((sum, value, j) => (has(logReward[j]) ? sum + Math.exp(value) : sum), 0)
      const [atMost, below, equal] = [
        massOf((r) => r <= reward),
        massOf((r) => r < reward),
        massOf((r) => r === reward),
      ]
      return Math.log(((atMost ** n - below ** n) * Math.exp(logQ[i])) / equal)
    })
  }
})

test('every method gives its latents for all prompts within the budget, the same ones each time', async () => {
  const budgets = [2000]
  const all = { ...options, names: baselineNames, perQuery: 4, budgets }
  const compared = await compareBaselines(all)
  const seconds = (key: string, value: unknown) => (key === 'seconds' ? undefined : value)
  expect(JSON.stringify(await compareBaselines(all), seconds)).toBe(JSON.stringify(compared, seconds))
  expect(new Set(compared.methods.map(({ method }) => method))).toEqual(new Set(baselineNames))
  for (const { method, budget, answers } of compared.methods) {
    const { latents, measures } = answers[0]!
    const isSingle = method === 'greedy' || method.startsWith('beam')
    expect(latents).toHaveLength(isSingle ? 1 : 4)
    if (budget === undefined) continue // what it takes it takes
    expect(measures.forwardTokens).toBeLessThanOrEqual(budget)
  }
})

test('a trained sampler proposes to the methods that look at the reward, and to no other', async () => {
  const setting = { temperature: TEMPERATURE, steps: 2, samples: 8, seed: 1 }
  const { adapter } = await trainExactly(exactProblem(model, 8, 2), {
    ...{ ...setting, reward: rewards.posterior, objective: 'subtrajectory-balance' },
  })
  const { methods } = await compareBaselines({
    ...options,
    samplers: { base: undefined, tuned: adapter },
    names: ['greedy', 'best-of-n', 'sequential-monte-carlo'],
    perQuery: 2,
    budgets: [4000],
  })
  expect(methods.map(({ method, sampler }) => `${method} ${sampler}`)).toEqual([
    'ancestral base',
    'ancestral tuned',
    'greedy base',
    'best-of-n base',
    'best-of-n tuned',
    'sequential-monte-carlo base',
    'sequential-monte-carlo tuned',
  ])
  const [, tuned] = methods
  expect(tuned.answers[0]!.measures.meanLogOwn).not.toBeCloseTo(tuned.answers[0]!.measures.meanLogBase, 4)
})

test('a budget that is too small is said to be, and means are over the prompts that were answered', async () => {
  const { methods } = await compareBaselines({
    ...options,
    names: ['sequential-monte-carlo'],
    perQuery: 4,
    budgets: [10],
  })
  const summary = summariseMethod(methods.at(-1)!)
  expect(summary).toMatchObject({ method: 'sequential-monte-carlo', budget: 10, answered: 0, measures: {} })
})

describe('the size within a budget', () => {
  test.each([
    ['in proportion', (size: number) => 40 + 12 * size],
    ['less, where samples repeat', (size: number) => 40 + 100 * size ** 0.8],
    ['more', (size: number) => 10 * size ** 1.3],
  ])('is nearly the largest where costs grow %s', async (_, cost) => {
    const budgets = [300, 1200, 5000]
    let runs = 0
    const found = await runsWithin(budgets, 1, async (size) => {
      runs++
      return { forwardTokens: cost(size) }
    })
    for (const [b, budget] of budgets.entries()) {
      expect(found[b]!.forwardTokens).toBeLessThanOrEqual(budget)
      expect(cost(found[b]!.size * 1.4 + 1)).toBeGreaterThan(0.9 * budget)
    }
    expect(runs).toBeLessThanOrEqual(10)
  })

  test('is none where the smallest is too large, and ends where costs do not grow', async () => {
    expect(await runsWithin([5, 5000], 250, async () => ({ forwardTokens: 20 }))).toEqual([
      undefined,
      { forwardTokens: 20, size: 20 },
    ])
  })
})
