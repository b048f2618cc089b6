import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LoraAdapter } from '../src/adapters/lora.ts'
import { readPeftFolder } from '../src/adapters/peft.ts'
import { type LearnBatch, learnStep } from '../src/gflownet/learn-step.ts'
import { type ModelDescription, recomputations } from '../src/models/architecture.ts'
import type { Lanes } from '../src/models/lane.ts'
import { describeModel, loadWeights } from '../src/models/language-model.ts'
import { posterior } from '../src/rewards/posterior.ts'
import type { RewardContext } from '../src/rewards/reward.ts'
import type { Support } from '../src/sampling/support.ts'
import { distance, largestOf } from './largest-entry.ts'
import { plainRewards, plainStep } from './plain-step.ts'

/** Of the loss, and of the largest entry of each matrix where that is above 1. */
const TOLERANCE = 1e-4

const golden = new URL('./golden/', import.meta.url).pathname
const STOP = 2
const ENDING = [40, 8, 8]
const free: Support = { stop: STOP, minTokens: 0, maxTokens: 99 }
const bias = Float32Array.from({ length: 131 }, (_, token) => (token % 3 === 1 ? Number.NEGATIVE_INFINITY : 0))

type Case = Pick<LearnBatch, 'latents' | 'inserted'> & {
  name: string
  support?: Partial<Support>
  lambda?: number
  /** Of inner prefixes every other one is asked. */
  halfAsked?: true
}
const branching = [[5, 9, 11], [5, 9, 12, 6], [5], [5, 9, 11], [17, 30, 6], [], [5, 9, 11, 3, 3], [5, 9, 11]]
const cases: Case[] = [
  { name: 'nothing is shared', latents: [[5, 9], [17, 30, 6], [40]] },
  { name: 'shared beginnings, duplicates, a latent inside another, an empty one', latents: branching },
  { name: 'λ = 0.9', latents: branching, lambda: 0.9 },
  { name: 'a random part of the prefixes', latents: branching, halfAsked: true },
  {
    name: 'shortest and longest lengths',
    latents: branching.filter(([z]) => z),
    support: { minTokens: 1, maxTokens: 5 },
  },
  {
    name: 'forced ends in an allowed part of the vocabulary',
    latents: [
      [5, 9, 11],
      [5, 9, 12],
      [5, 9, 12],
      [6, 6, 6],
    ],
    support: { minTokens: 2, maxTokens: 3, bias },
    lambda: 0.8,
  },
  {
    // The first two are the same tokens in other states: of three actions, and of two.
    name: "a tool's tokens, in one latent chosen and in another inserted",
    latents: [
      [5, 9, 12, 6],
      [5, 9, 12, 6],
      [5, 9, 12, 30, 30],
      [5, 9],
    ],
    inserted: [[2], [1, 2], [1], []],
    support: { minTokens: 2, maxTokens: 4, bias },
    halfAsked: true,
  },
]

describe.each([
  ['llama', 'float32'],
  ['gpt2', 'float32'],
  ['qwen3', 'float32'],
  ['gptj', 'float32'],
  ['llama', 'float16'],
  ['gpt2', 'float16'],
] as const)('%s held as %s', (name, storage) => {
  let model: ModelDescription
  let lanes: Lanes
  let adapter: LoraAdapter
  const { tokens } = JSON.parse(readFileSync(`${golden}models-${name}.json`, 'utf8')) as { tokens: number[] }
  const prompt = tokens.slice(0, 6)
  beforeAll(async () => {
    const folder = `${golden}checkpoints/${name}`
    const holding = { storage, recompute: 'nothing' } as const
    ;({ description: model, lanes } = await loadWeights(folder, describeModel(folder, holding), { threads: 1 }))
    adapter = readPeftFolder(`${golden}adapters/${name}`)
  })
  afterAll(() => lanes.dispose())

  test.each(cases)('the optimised step is the plain step: $name', ({ latents, inserted, ...options }) =>
    lanes.use(async (lane) => {
      const support = { ...free, ...options.support }
      const lambda = options.lambda ?? 1
      const given = { prompt, latents, inserted }
      const innerPrefixes = latents.map((_, n) => new Set([1, 3, 5].map((i) => i + (n % 2))))
      const plainLogRewards = await plainRewards(lane, { model, support }, given, ENDING)
      const context = { lane, model, support, ...given, ...(options.halfAsked && { innerPrefixes }) }
      const reward = posterior({ ending: ENDING })
      const { logReward } = await reward.score(context as unknown as RewardContext, latents) // all is tokens: no tokenizer
      for (const [n, row] of logReward.entries())
        for (const [i, value] of row.entries())
          if (value === Number.NEGATIVE_INFINITY) plainLogRewards[n][i] = value
          else expect(Math.abs(value - plainLogRewards[n][i])).toBeLessThan(TOLERANCE)

      const inclusion = options.halfAsked && latents.map(() => 0.5)
      const plain = await plainStep(
        lane,
        { model, adapter, support, lambda },
        { ...given, inclusion, logRewards: plainLogRewards },
      )
      const largest = Math.max(...Object.values(plain.gradients).map(largestOf))
      expect(plain.loss).toBeGreaterThan(0.1)
      expect(largest).toBeGreaterThan(0.1)
      for (const recompute of recomputations) {
        const { loss, gradients } = await learnStep(
          lane,
          { model: { ...model, recompute }, adapter, support, objective: { name: 'subtrajectory-balance', lambda } },
          { ...given, inclusion, logRewards: logReward },
        )
        expect(Math.abs(loss - plain.loss), `loss, ${recompute}`).toBeLessThan(TOLERANCE * Math.max(1, plain.loss))
        expect(Object.keys(gradients).toSorted()).toEqual(Object.keys(plain.gradients).toSorted())
        for (const [matrix, gradient] of Object.entries(gradients)) {
          const expected = plain.gradients[matrix]
          const limit = TOLERANCE * Math.max(1, largestOf(expected))
          expect(distance(gradient, expected), `${matrix}, ${recompute}`).toBeLessThan(limit)
        }
      }
    }),
  )

  test('the plain gradient is that of finite differences of the plain loss', () =>
    lanes.use(async (lane) => {
      const { latents, inserted, support: limits } = cases.at(-1)!
      const support = { ...free, ...limits }
      const logRewards = latents.map((latent, n) => [0, ...latent].map((_, i) => -12 + 5 * Math.sin(3 * n + 7 * i)))
      const batch = { prompt, latents, inserted, logRewards }
      const at = (policy: LoraAdapter) => plainStep(lane, { model, adapter: policy, support, lambda: 0.9 }, batch)
      const { gradients } = await at(adapter)
      const names = Object.keys(gradients)
      for (const matrix of [names[0], names[1], names[names.length - 2], names[names.length - 1]]) {
        const slopes = gradients[matrix].data as Float32Array
        const k = slopes.reduce((best, value, i) => (Math.abs(value) > Math.abs(slopes[best]) ? i : best), 0)
        const lossAt = async (delta: number) => (await at(moved(adapter, matrix, k, delta))).loss
        const difference = async (step: number) => ((await lossAt(step)) - (await lossAt(-step))) / (2 * step)
        const slope = (4 * (await difference(0.01)) - (await difference(0.02))) / 3
        expect(Math.abs(slope)).toBeGreaterThan(0.05)
        expect(Math.abs(slopes[k] - slope)).toBeLessThan(2e-3 * Math.max(1, Math.abs(slope)))
      }
    }))
})

const moved = ({ config, weights }: LoraAdapter, name: string, k: number, delta: number): LoraAdapter => {
  const data = Float32Array.from(weights[name].data as Float32Array)
  data[k] += delta
  return { config, weights: { ...weights, [name]: { ...weights[name], data } } }
}
