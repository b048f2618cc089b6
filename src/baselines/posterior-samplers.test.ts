/** Samplers of the posterior at inference time, against the posterior known by enumeration. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chiSquareExcess, queryOf } from '../../test/exact-conditionals.ts'
import { exactProblem, modelFolder, rewards, trainExactly } from '../../test/exact-posterior.ts'
import { adding, keyOf, keysOf, withTool as naive } from '../../test/with-tool.ts'
import type { LoraAdapter } from '../adapters/lora.ts'
import { normaliseLog, totalVariation } from '../evaluation/divergence.ts'
import {
  type EnumeratedProblem,
  enumerateLatents,
  enumeratePolicy,
  enumerateRewards,
  withTool,
} from '../evaluation/enumerate.ts'
import { meanEstimate } from '../evaluation/estimate.ts'
import { estimateLogPartition } from '../evaluation/log-partition.ts'
import { logAddExp, logMeanExp, logSumExp } from '../log-space.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { type Draws, seededRandom } from '../random.ts'
import type { Reward } from '../rewards/reward.ts'
import { tempered } from '../rewards/tempered.ts'
import { type BoundTool, bindTool } from '../sampling/tools.ts'
import { bestOfN } from './best-of-n.ts'
import { tokenDrawer } from './draw-latents.ts'
import { importanceResampling } from './importance-resampling.ts'
import { baselineNames, baselines } from './index.ts'
import type { Answer, InferenceMethod } from './method.ts'
import { independenceChain, metropolisHastings } from './metropolis-hastings.ts'
import { drawProposals } from './proposals.ts'
import { sequentialMonteCarlo } from './sequential-monte-carlo.ts'

const REPETITIONS = 100

/** A posterior and its exact answer; the proposal is the base model where there is no adapter. */
type Case = {
  problem: EnumeratedProblem
  reward: Reward
  temperature: number
  adapter?: LoraAdapter
  tool?: BoundTool
  logTarget: number[]
  logZ: number
}
const cases: Record<string, Case> = {}
let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(modelFolder)
  const add = async (name: string, of: Omit<Case, 'logTarget' | 'logZ'>) => {
    const logTarget = await enumerateRewards(of.problem, of.reward, of.temperature)
    cases[name] = { ...of, logTarget, logZ: logSumExp(logTarget) }
  }
  // Continuations that the base model may well write: elsewhere its weights are too heavy-tailed for a test of their errors.
  const short = playProblem({ stop: '.', minTokens: 0, maxTokens: 2 })
  const long = playProblem({ stop: ' to', minTokens: 1, maxTokens: 3 })
  const [required] = long.latents[0]
  await add('tempered', { problem: short, reward: rewards.tempered, temperature: 2 })
  await add('posterior', { problem: short, reward: rewards.posterior, temperature: 2 })
  await add('not empty', { problem: long, reward: rewards.posterior, temperature: 1.5 })
  await add('holding a word', { problem: long, reward: holding(required, rewards.tempered), temperature: 1.5 })
  const tool = bindTool(adding(' in', [undefined, ' the park', ' it']), model.tokenizer)
  const tooled = await withTool(playProblem({ stop: '.', minTokens: 1, maxTokens: 3 }), tool)
  await add('with a tool', { problem: tooled, reward: tempered({ countInserted: false }), temperature: 2, tool })
  const hard = exactProblem(model, 12, 2)
  const setting = { reward: rewards.posterior, temperature: 3 }
  const objective = 'trajectory-balance'
  const { adapter } = await trainExactly(hard, { ...setting, objective, steps: 60, samples: 64, seed: 1 })
  await add('hard', { problem: hard.problem, ...setting })
  await add('hard, trained', { problem: hard.problem, ...setting, adapter })
}, 300_000)
afterAll(() => model.dispose())

function playProblem({ stop, ...limits }: { stop: string; minTokens: number; maxTokens: number }): EnumeratedProblem {
  const token = (text: string) => model.tokenizer.encodeContinuation(text)[0]
  const { vocabulary } = model.description.dimensions
  const bias = new Float32Array(vocabulary).fill(-Infinity)
  for (const word of [' with', ' in', ',', ' on', ' and']) bias[token(word)] = 0
  const support = { stop: token(stop), bias, ...limits }
  const prompt = model.tokenizer.encode('Tom and Lily were happy to play', { addSpecialTokens: true })
  return { model, support, prompt, latents: enumerateLatents(support, vocabulary) }
}

/** R where a word occurs, 0 elsewhere: prefixes say nothing of what may still come. */
const holding = (word: number, reward: Reward): Reward => ({
  name: 'holding a word',
  score: async (context, latents) => {
    const { logReward, parts } = await reward.score(context, latents)
    const cut = latents.map((latent, n) =>
      logReward[n].map((value, prefix) => (latent.slice(0, prefix).includes(word) ? value : -Infinity)),
    )
    return { logReward: cut, parts }
  },
})

const ask = (
  { problem, reward, temperature, adapter, tool }: Case,
  { samples, seed }: { samples: number; seed: number | string },
) => {
  const draws = seededRandom(1).at('repetition', seed)
  const query = queryOf(problem, { samples, draws, reward, rewardTemperature: temperature })
  return { ...query, sampler: { ...query.sampler, adapter, tool } }
}
const run = <A extends Answer>(method: InferenceMethod<A>, ...asked: Parameters<typeof ask>) =>
  model.lanes.use((lane) => method.run(lane, ask(...asked)))
const repeat = <T>(job: (repetition: number) => Promise<T>) =>
  Promise.all(Array.from({ length: REPETITIONS }, (_, repetition) => job(repetition)))

/** How many estimates are within three of their errors of the truth, and the mean of Ẑ / Z, which is 1 without bias. */
function judge(logZs: { value: number; standardError: number }[], logZ: number) {
  const covered = logZs.filter(({ value, standardError }) => Math.abs(value - logZ) < 3 * standardError).length
  return { covered, ratio: meanEstimate(logZs.map(({ value }) => Math.exp(value - logZ))) }
}

/** Total variation between weighted latents and the exact posterior. */
function distance({ problem, logTarget }: Case, answers: Answer[]): number {
  const logMasses = new Map(keysOf(problem).map((key) => [key, -Infinity]))
  for (const { latents, logWeights } of answers)
    for (const [i, latent] of latents.entries())
      logMasses.set(keyOf(latent), logAddExp(logMasses.get(keyOf(latent))!, logWeights?.[i] ?? 0))
  return totalVariation(normaliseLog([...logMasses.values()]), normaliseLog(logTarget))
}

describe.each(['tempered', 'posterior', 'not empty', 'holding a word', 'with a tool', 'hard, trained'])(
  '%s',
  (name) => {
    test('importance resampling estimates log Z within three of its standard errors, and Z without bias', async () => {
      const method = importanceResampling(64)
      const answers = await repeat((seed) => run(method, cases[name], { samples: 16, seed }))
      const logZs = answers.map(({ proposals }) => estimateLogPartition(proposals.logWeights).logZ)
      const { covered, ratio } = judge(logZs, cases[name].logZ)
      expect(covered).toBeGreaterThanOrEqual(95)
      expect(Math.abs(ratio.value - 1)).toBeLessThan(3.5 * ratio.standardError)
      expect(ratio.standardError).toBeLessThan(0.05)
      expect(distance(cases[name], answers)).toBeLessThan(0.1)
    })

    test('sequential Monte Carlo estimates log Z within three of its standard errors, and Z without bias', async () => {
      const method = sequentialMonteCarlo({ runs: 16 })
      const answers = await repeat((seed) => run(method, cases[name], { samples: 16 * 32, seed }))
      const logZs = answers.map((answer) => estimateLogPartition(answer.logZs).logZ)
      const { covered, ratio } = judge(logZs, cases[name].logZ)
      expect(covered).toBeGreaterThanOrEqual(95)
      expect(Math.abs(ratio.value - 1)).toBeLessThan(3.5 * ratio.standardError)
      expect(ratio.standardError).toBeLessThan(0.05)
      expect(distance(cases[name], answers)).toBeLessThan(0.03)
      const resamplings = answers.reduce((sum, answer) => sum + answer.resamplings, 0)
      if (cases[name].adapter)
        expect(resamplings).toBe(0) // a sampler near its optimum has nothing to replace
      else expect(resamplings).toBeGreaterThan(1000)
    })
  },
)

test('each run is an estimate of its own: the mean weight of its particles', async () => {
  const { logWeights, logZs } = await run(sequentialMonteCarlo({ runs: 4 }), cases['not empty'], {
    samples: 64,
    seed: 1,
  })
  expect(logZs).toHaveLength(4)
  for (const [i, logZ] of logZs.entries()) expect(logMeanExp(logWeights.slice(16 * i, 16 * i + 16))).toBe(logZ)
})

test('a trained adapter as the proposal needs fewer samples: with a sixteenth of them it is closer to log Z', async () => {
  const error = async (name: string, samples: number, method: InferenceMethod) => {
    const logZs = await repeat(async (seed) =>
      logMeanExp((await run(method, cases[name], { samples, seed })).logWeights!),
    )
    return Math.sqrt(logZs.reduce((sum, logZ) => sum + (logZ - cases[name].logZ) ** 2, 0) / REPETITIONS)
  }
  const smc = sequentialMonteCarlo()
  const [base, trained] = [await error('hard', 256, smc), await error('hard, trained', 16, smc)]
  expect(trained).toBeLessThan(0.1)
  expect(base).toBeGreaterThan(5 * trained)
})

describe('Metropolis–Hastings', () => {
  /** Many short chains that start at exact draws from the posterior, at their last state. */
  async function lastStates(
    name: string,
    accept: (logWeights: number[], logTarget: number[], draws: Draws) => number[],
  ) {
    const [chains, steps] = [3000, 4]
    const { problem, logTarget } = cases[name]
    const logQ = await enumeratePolicy(problem, cases[name].adapter)
    const placeOf = new Map(keysOf(problem).map((key, i) => [key, i]))
    const draws = seededRandom(1).at('chains', name)
    const exact = tokenDrawer(normaliseLog(logTarget))
    const { latents } = await model.lanes.use((lane) =>
      drawProposals(lane, ask(cases[name], { samples: 1, seed: 'chains' }), chains * steps),
    )
    return Array.from({ length: chains }, (_, chain) => {
      const proposed = latents.slice(chain * steps, (chain + 1) * steps).map((latent) => placeOf.get(keyOf(latent))!)
      const places = [exact(draws.uniform()).token, ...proposed]
      const targets = places.map((place) => logTarget[place])
      const states = accept(
        places.map((place, i) => targets[i] - logQ[place]),
        targets,
        draws,
      )
      const place = places[states[steps]]
      return { tokens: problem.latents[place], inserted: problem.inserted?.[place] ?? [] }
    })
  }

  test.each(['posterior', 'not empty', 'with a tool'])('leaves the exact posterior invariant: %s', async (name) => {
    const { problem, logTarget } = cases[name]
    const excess = async (...[accept]: [Parameters<typeof lastStates>[1]]) =>
      chiSquareExcess(await lastStates(name, accept), problem, normaliseLog(logTarget))
    expect(await excess((logWeights, _, draws) => independenceChain(logWeights, draws))).toBeLessThan(4)
    // What would be wrong: to accept everything, or by the ratio of targets alone.
    expect(await excess((logWeights) => [...logWeights.keys()])).toBeGreaterThan(4)
    expect(await excess((_, logTargets, draws) => independenceChain(logTargets, draws))).toBeGreaterThan(4)
  })

  test('a long chain accepts as often as theory says, and its states are the posterior', async () => {
    const name = 'posterior'
    const { problem, logTarget, adapter } = cases[name]
    const posterior = Array.from(normaliseLog(logTarget), Math.exp)
    const proposal = (await enumeratePolicy(problem, adapter)).map(Math.exp)
    const ratio = (x: number, y: number) => (posterior[y] * proposal[x]) / (posterior[x] * proposal[y])
    const expected = posterior.reduce(
      (sum, p, x) => sum + p * proposal.reduce((inner, q, y) => inner + q * Math.min(1, ratio(x, y)), 0),
      0,
    )
    const answer = await run(metropolisHastings(), cases[name], { samples: 20_000, seed: 'long' })
    expect(answer.latents).toHaveLength(20_000)
    expect(Math.abs(answer.acceptanceRate - expected)).toBeLessThan(0.02)
    expect(distance(cases[name], [answer])).toBeLessThan(0.05)
  })

  test('a state of reward zero is left at once, and none is entered', () => {
    const draws = seededRandom(1).at('chain')
    expect(independenceChain([-Infinity, -Infinity, 3, -Infinity, 700], draws)).toEqual([0, 1, 2, 2, 4])
  })
})

test.each(['posterior', 'with a tool'])(
  'best of n draws a latent as often as it is the best of n: %s',
  async (name) => {
    const { problem, logTarget, adapter } = cases[name]
    const n = 4
    const logQ = await enumeratePolicy(problem, adapter)
    const order = [...logTarget.keys()].sort((a, b) => logTarget[a] - logTarget[b])
    const logBest = new Float64Array(logQ.length)
    let below = 0
    for (const i of order) {
      const upTo = below + Math.exp(logQ[i])
      logBest[i] = Math.log(upTo ** n - below ** n)
      below = upTo
    }
    const { latents } = await run(bestOfN(n), cases[name], { samples: 4000, seed: 'best' })
    expect(chiSquareExcess(latents, problem, logBest)).toBeLessThan(4)
    expect(chiSquareExcess(latents, problem, logQ)).toBeGreaterThan(4)
  },
)

test('where every proposal has a reward of zero there is nothing to resample, and Z is estimated as zero', async () => {
  const never = holding(-1, rewards.tempered)
  const zero = { ...cases['not empty'], reward: never }
  const importance = await run(importanceResampling(2), zero, { samples: 8, seed: 1 })
  expect(importance.latents).toEqual([])
  const smc = await run(sequentialMonteCarlo({ runs: 2 }), zero, { samples: 8, seed: 1 })
  expect(smc.latents).toHaveLength(8)
  expect(smc.logZs).toEqual([-Infinity, -Infinity])
})

describe.each(baselineNames)('the baseline %s', (name) => {
  test.each(['not empty', 'with a tool'])(
    'answers within the limits, alike for equal draws, and says what it cost: %s',
    async (which) => {
      const { problem } = cases[which]
      const first = await run(baselines[name], cases[which], { samples: 8, seed: 'table' })
      expect(await run(baselines[name], cases[which], { samples: 8, seed: 'table' })).toEqual(first)
      expect(first.latents).toHaveLength(['greedy', 'beam', 'beam-5'].includes(name) ? 1 : 8)
      const possible = new Set(keysOf(problem))
      for (const latent of first.latents) expect(possible).toContain(keyOf(latent))
      expect(first.cost.forwardTokens).toBeGreaterThan(problem.prompt.length)
      await expect(run(baselines[name], cases[which], { samples: 0, seed: 1 })).rejects.toThrow(
        'number of samples is 0',
      )
    },
  )
})

test('latents that a tool adds to are listed as it adds to them', async () => {
  const { problem, tool, logTarget } = cases['with a tool']
  const actions = enumerateLatents(problem.support, model.description.dimensions.vocabulary)
  const expected = await Promise.all(actions.map((chosen) => naive(tool!, chosen)))
  expect(keysOf(problem)).toEqual(expected.map(keyOf))
  expect(new Set(expected.map(({ inserted }) => inserted.length)).size).toBeGreaterThan(3)
  const posterior = normaliseLog(logTarget).map(Math.exp)
  const inserted = expected.reduce((sum, { inserted }, i) => sum + (inserted.length > 0 ? posterior[i] : 0), 0)
  expect(inserted).toBeGreaterThan(0.1) // of the posterior
})

test('names of baselines are distinct', () => {
  expect(new Set(Object.values(baselines).map(({ name }) => name)).size).toBe(baselineNames.length)
})

test('settings that make no sense are refused by name', async () => {
  expect(() => sequentialMonteCarlo({ runs: 0 })).toThrow('the number of runs is 0')
  expect(() => sequentialMonteCarlo({ threshold: 1.5 })).toThrow('the threshold is 1.5')
  expect(() => importanceResampling(0.5)).toThrow('proposals per sample is 0.5')
  expect(() => bestOfN(0)).toThrow('the number of candidates is 0')
  const smc = sequentialMonteCarlo({ runs: 3 })
  await expect(run(smc, cases.posterior, { samples: 8, seed: 1 })).rejects.toThrow(
    '8 particles cannot be divided into 3',
  )
  const broken: Reward = {
    name: 'broken',
    score: async (_, latents) => ({ logReward: latents.map((z) => z.map(Number).concat(NaN)), parts: {} }),
  }
  await expect(run(smc, { ...cases.posterior, reward: broken }, { samples: 3, seed: 1 })).rejects.toThrow(
    'reward "broken": log R of latent 1 is NaN',
  )
})
