import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exactProblem, modelFolder } from '../../../test/exact-posterior.ts'
import {
  compareExactly,
  type EnumeratedProblem,
  enumeratePolicy,
  enumerateRewards,
} from '../../evaluation/enumerate.ts'
import { type LanguageModel, loadLanguageModel } from '../../models/language-model.ts'
import { explicit } from '../../rewards/explicit.ts'
import type { Reward } from '../../rewards/reward.ts'
import type { TrainingOptions } from '../config.ts'
import type { TrainingEvent } from '../events.ts'
import { packState, type TrainingState, unpackState } from '../state.ts'
import { type FineTuneOptions, fineTune } from '../train.ts'

let model: LanguageModel
let problem: EnumeratedProblem
let options: TrainingOptions
let base: number[]
beforeAll(async () => {
  model = await loadLanguageModel(modelFolder, { threads: 1 })
  ;({ problem, options } = exactProblem(model, 6, 2))
  base = await enumeratePolicy(problem)
})
afterAll(() => model.dispose())

const run = (
  reward: Reward,
  ppo: TrainingOptions['ppo'],
  { steps = 60, ...further }: Partial<FineTuneOptions> = {},
): AsyncGenerator<TrainingEvent> =>
  fineTune({
    ...options,
    model,
    prompts: [problem.prompt],
    reward,
    method: 'ppo',
    ppo,
    seed: 1,
    steps,
    promptsPerStep: 1,
    samplesPerPrompt: 64,
    optimizer: { learningRate: { from: 1e-3, to: 1e-4, shape: 'cosine' } },
    ...further,
  })

async function events(training: AsyncGenerator<TrainingEvent>) {
  const all: TrainingEvent[] = []
  for await (const event of training) all.push(event)
  const last = all[all.length - 1] as Extract<TrainingEvent, { kind: 'finished' }>
  const steps = all.flatMap((event) => (event.kind === 'step' ? [event.metrics] : []))
  return { all, steps, state: last.state }
}

/** log R by the latent's probability under the reference model. */
const byReference = (logReward: (logP: number) => number): Reward => {
  const table = new Map(problem.latents.map((latent, i) => [String(latent), logReward(base[i])]))
  return explicit((_, tokens) => table.get(String(tokens))!)
}
/** The latent that the reference model writes about once in thirty times has the best reward, the others between 0 and 1. */
const oneBest = () => {
  const best = base.reduce((near, logP) => (Math.abs(logP + 3.4) < Math.abs(near + 3.4) ? logP : near), 0)
  return { best: base.indexOf(best), reward: byReference((logP) => (logP === best ? 2 : Math.sin(99 * logP) ** 2)) }
}
/** R = p_ref^(−1/2): rare latents are better. */
const flattening = () => byReference((logP) => -0.5 * logP)
const noPenalty = { kl: { coefficient: 0, target: null } }

describe.each(['value-head', 'group'] as const)('a bandit, with the baseline %s', (baseline) => {
  test('is solved: without a penalty all mass goes to the best latent, which was rare', async () => {
    const { best, reward } = oneBest()
    expect(Math.exp(base[best])).toBeLessThan(0.06)
    const { state, steps } = await events(run(reward, { baseline, ...noPenalty }, { steps: 40 }))
    const logQ = await enumeratePolicy(problem, state.adapter)
    expect(Math.exp(logQ[best])).toBeGreaterThan(0.95)
    expect(steps[steps.length - 1]['ppo/kl']).toBeGreaterThan(2)
    expect(Math.max(...steps.map((metrics) => metrics['ppo/clipFraction']))).toBeGreaterThan(0.01)
    expect('ppo/valueLoss' in steps[0]).toBe(baseline === 'value-head')
    expect(Object.keys(state.critic)).toHaveLength(baseline === 'value-head' ? 2 : 0)
  })

  test('has the optimum p_ref · R^(1/β), and not R', async () => {
    const reward = flattening()
    const logReward = await enumerateRewards(problem, reward)
    const optimum = base.map((logP, i) => logP + logReward[i])
    const distance = (logQ: readonly number[]) => compareExactly(optimum, logQ).totalVariation
    const ppo = { baseline, lambda: 1, kl: { coefficient: 1, target: null } }
    const { state } = await events(run(reward, ppo, { steps: 50 }))
    const logQ = await enumeratePolicy(problem, state.adapter)
    expect(distance(base)).toBeGreaterThan(0.3)
    expect(distance(logQ)).toBeLessThan(0.12)
    expect(compareExactly(logReward, logQ).totalVariation).toBeGreaterThan(0.4)
  })
})

test('β follows the distance from the reference model, and goes into the metrics', async () => {
  const kl = { coefficient: 0.5, target: 0.01, horizon: 64 }
  const { steps, state } = await events(run(flattening(), { kl }, { steps: 12 }))
  const [first, second] = steps.map((metrics) => metrics['ppo/klCoefficient'])
  expect(first).toBe(0.5)
  expect(second).toBeCloseTo(0.5 * 0.8, 12) // at first there is no distance at all, and a step has as many samples as the horizon
  expect(state.klCoefficient).toBeGreaterThan(Math.min(...steps.map((metrics) => metrics['ppo/klCoefficient'])))
})

test('epochs end where the policy has moved far enough', async () => {
  const settings = { epochs: 6, ...noPenalty }
  const [free, bound] = await Promise.all(
    [null, 1e-4].map((stopAtKl) => events(run(flattening(), { ...settings, stopAtKl }, { steps: 3 }))),
  )
  expect(free.state.optimizer.step).toBe(18)
  expect(bound.state.optimizer.step).toBeLessThan(18)
  expect(bound.state.optimizer.step).toBeGreaterThanOrEqual(3) // the first is always followed
})

test('known latents have no part, and a warning says so', async () => {
  const prompts = [{ prompt: problem.prompt, known: [problem.latents[7]] }]
  const { all } = await events(run(flattening(), {}, { steps: 1, prompts }))
  expect(all[1]).toMatchObject({ kind: 'warning', what: expect.stringContaining('1 known latents have no part') })
})

test('a run that goes on from a saved state ends at the same bits: adapter, value head and β', async () => {
  const settings = [flattening(), { kl: { target: 0.05, horizon: 500 } }] as const
  const plan = { steps: 6, checkpoints: { every: 3 }, samplesPerPrompt: 16 }
  let saved: ReturnType<typeof packState> | undefined
  let whole: TrainingState | undefined
  for await (const event of run(...settings, plan)) {
    if (event.kind === 'checkpoint') saved = structuredClone(packState(event.state))
    if (event.kind === 'finished') whole = event.state
  }
  const resume = unpackState(saved!)
  expect(resume.step).toBe(3)
  expect(resume.klCoefficient).not.toBe(0.2)
  const { state } = await events(run(...settings, { ...plan, resume }))
  expect(packState(state)).toEqual(packState(whole!))
  expect(Object.values(state.critic).some(({ data }) => (data as Float32Array).some((value) => value !== 0))).toBe(true)
})
