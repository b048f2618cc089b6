/**
 * Rewards and the learn step by int8 copies of the frozen matrices, against the exact ones: of every architecture, however much is
 * computed twice and however the weights are held.
 */
import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { readPeftFolder } from '../src/adapters/peft.ts'
import { type LearnBatch, type LearnResult, learnStep } from '../src/gflownet/learn-step.ts'
import type { ModelDescription, recomputations } from '../src/models/architecture.ts'
import type { Lane } from '../src/models/lane.ts'
import { describeModel, loadWeights } from '../src/models/language-model.ts'
import { posterior } from '../src/rewards/posterior.ts'
import type { RewardContext } from '../src/rewards/reward.ts'
import { mean } from '../src/sums.ts'
import { storages } from '../src/tensor/ops/stored.ts'

const golden = new URL('golden/', import.meta.url).pathname
const support = { stop: 0, minTokens: 0, maxTokens: 6 }
const prompt = [1, 2, 9, 4]
const latents = [
  [5, 9, 3],
  [5, 9, 7, 8],
  [6, 2],
  [11, 3, 8, 4, 7],
]
const ENDING = [3, 12, 6]

const open = (name: string, storage: (typeof storages)[number] = 'float32') => {
  const folder = `${golden}checkpoints/${name}`
  return loadWeights(folder, describeModel(folder, { storage, recompute: 'nothing' }), { threads: 1 })
}

/** log R of every prefix, all that is asked being tokens. */
async function rewardsOf(lane: Lane, model: ModelDescription) {
  const context = { lane, model, support, prompt } as unknown as RewardContext
  return (await posterior({ ending: ENDING }).score(context, latents)).logReward
}

const learn = (lane: Lane, model: ModelDescription, name: string, logRewards: LearnBatch['logRewards']) =>
  learnStep(
    lane,
    {
      model,
      adapter: readPeftFolder(`${golden}adapters/${name}`),
      support,
      objective: { name: 'subtrajectory-balance', lambda: 1 },
    },
    { prompt, latents, logRewards },
  )

/** Of all gradients as one vector. */
function cosine(a: LearnResult['gradients'], b: LearnResult['gradients']) {
  const products = Object.keys(a).map((name) => {
    const [x, y] = [a[name].data as Float32Array, b[name].data as Float32Array]
    const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i], 0)
    return [dot(x, y), dot(x, x), dot(y, y)]
  })
  const [xy, xx, yy] = [0, 1, 2].map((i) => products.reduce((sum, product) => sum + product[i], 0))
  return xy / Math.sqrt(xx * yy)
}

/** The differences' root of their mean square, nats: 0.56 at most, of texts of up to nine tokens under random weights and adapters. */
const NEAR = 0.7
const off = (rows: readonly number[][], from: readonly number[][]) =>
  Math.sqrt(mean(rows.flatMap((row, n) => row.map((value, k) => (value - from[n][k]) ** 2))))

function expectNear(copied: LearnResult, exact: LearnResult) {
  expect(copied.loss).not.toBe(exact.loss)
  expect(Math.abs(copied.loss / exact.loss - 1)).toBeLessThan(0.1)
  expect(Object.keys(copied.gradients)).toEqual(Object.keys(exact.gradients))
  expect(cosine(copied.gradients, exact.gradients)).toBeGreaterThan(0.98)
  const logQ = ({ scores }: LearnResult) => [scores.map((score) => score.logQ)]
  expect(off(logQ(copied), logQ(exact))).toBeLessThan(NEAR)
}

describe.each(readdirSync(`${golden}checkpoints`))('by int8 copies, %s', (name) => {
  test('scores and learns near its exact self', async () => {
    const { description: model, lanes } = await open(name)
    await lanes.use(async (lane) => {
      const [exact, copied] = [await rewardsOf(lane, model), await rewardsOf(lane, { ...model, int8: true })]
      expect(copied).not.toEqual(exact)
      expect(off(copied, exact)).toBeLessThan(NEAR)
      const learned = await learn(lane, model, name, exact)
      expect(learned.loss).toBeGreaterThan(0.1)
      expectNear(await learn(lane, { ...model, int8: true }, name, exact), learned)
    })
    await lanes.dispose()
  })
})

test('what is computed twice is computed as it was the first time', async () => {
  const { description, lanes } = await open('llama')
  await lanes.use(async (lane) => {
    const logRewards = await rewardsOf(lane, description)
    const of = (recompute: (typeof recomputations)[number]) =>
      learn(lane, { ...description, int8: true, recompute }, 'llama', logRewards)
    const [first, ...others] = [await of('nothing'), await of('cheap'), await of('layers')]
    for (const other of others) {
      expect(other.loss).toBeCloseTo(first.loss, 5)
      expect(cosine(other.gradients, first.gradients)).toBeGreaterThan(0.99999)
    }
  })
  await lanes.dispose()
})

test.each(storages)('the copies are of the weights as they are held, in %s', async (storage) => {
  const { description: model, lanes } = await open('llama', storage)
  await lanes.use(async (lane) => {
    const logRewards = await rewardsOf(lane, model)
    const exact = await learn(lane, model, 'llama', logRewards)
    expectNear(await learn(lane, { ...model, int8: true }, 'llama', logRewards), exact)
  })
  await lanes.dispose()
})
