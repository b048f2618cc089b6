import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { modelFolder } from '../../test/exact-posterior.ts'
import { initialAdapter, type LoraAdapter } from '../adapters/lora.ts'
import { scoreUnderPolicy } from '../gflownet/policy.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { seededRandom } from '../random.ts'
import type { NamedTensors } from '../runtime/host-tensor.ts'
import type { Support } from '../sampling/support.ts'
import { actionsOf } from './actions.ts'
import { actionTargets } from './advantages.ts'
import { ppoConfigSchema } from './config.ts'
import { ppoLearnStep } from './learn-step.ts'
import { scoreWithValues } from './score-with-values.ts'
import { initialValueHead } from './value-head.ts'

const STOP = 426
const support: Support = { stop: STOP, minTokens: 1, maxTokens: 3 }
const latents = [[313, 289], [261, 300, 274], [350]] // the second is ended by the limit
const settings = ppoConfigSchema.parse({ valueWeight: 0.5 })

let language: LanguageModel
let policy: { model: LanguageModel['description']; adapter: LoraAdapter; critic: NamedTensors; support: Support }
let prompt: number[]
beforeAll(async () => {
  language = await loadLanguageModel(modelFolder, { threads: 1 })
  const { description: model, tokenizer } = language
  prompt = tokenizer.encode('Tom had a big', { addSpecialTokens: true })
  const random = seededRandom(3)
  const fresh = initialAdapter({ rank: 4, alpha: 8, targets: ['q_proj', 'down_proj'] }, model.linears, random)
  policy = {
    model,
    support,
    adapter: { ...fresh, weights: filled(fresh.weights, 0.05) }, // B begins with zeros, and A then has no gradient
    critic: filled(initialValueHead(model.dimensions.width), 0.1),
  }
})
afterAll(() => language.dispose())

/** Irregular numbers. */
const filled = (tensors: NamedTensors, size: number): NamedTensors =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => {
      const draws = seededRandom(5).at(name)
      return [name, { ...tensor, data: Float32Array.from(tensor.data as Float32Array, () => size * draws.normal()) }]
    }),
  )

/** Latents as a slightly different policy drew them: some ratios are clipped, others are not. */
async function batchOf(given: { latents: number[][]; inserted?: number[][] } = { latents }) {
  const { scores, values } = await language.lanes.use((lane) => scoreWithValues(lane, policy, { prompt, ...given }))
  const sampled = scores.map((score, n) => {
    const logQ = actionsOf(score, support, given.inserted?.[n])
    const moved = logQ.map((value, k) => value + 0.25 * Math.sin(3 * n + 5 * k))
    return { logQ: moved, logReference: logQ, values: values[n], logReward: 4 * Math.cos(2 * n) }
  })
  return { prompt, ...given, sampled, targets: actionTargets(sampled, 0.2, settings) }
}

type Moved = Partial<Pick<typeof policy, 'adapter' | 'critic'>>
const learn = (batch: Awaited<ReturnType<typeof batchOf>>, moved: Moved = {}, baseline = settings.baseline) =>
  language.lanes.use((lane) => ppoLearnStep(lane, { ...policy, ...moved, settings: { ...settings, baseline } }, batch))

test('actions are the tokens and ⊤, which is none where it is forced', async () => {
  const { sampled } = await batchOf()
  expect(sampled.map(({ logQ, values }) => [logQ.length, values.length])).toEqual([
    [3, 3],
    [3, 3],
    [2, 2],
  ])
  const scores = await language.lanes.use((lane) => scoreUnderPolicy(lane, policy, { prompt, latents }))
  for (const [n, { logReference }] of sampled.entries())
    expect(logReference.reduce((a, b) => a + b)).toBeCloseTo(scores[n].logQ, 4)
})

test('what a tool inserts is no action', async () => {
  const { sampled, targets } = await batchOf({ latents, inserted: [[1], [], []] })
  expect(sampled.map(({ logQ }) => logQ.length)).toEqual([2, 3, 2])
  expect(targets.map(({ advantages }) => advantages.length)).toEqual([2, 3, 2])
})

test('loss and figures are those of plain numbers', async () => {
  const batch = await batchOf()
  const { loss, figures } = await learn(batch)
  let [surrogate, error, outside, count] = [0, 0, 0, 0]
  for (const [n, { logQ, logReference, values }] of batch.sampled.entries())
    for (const [k, old] of logQ.entries()) {
      const ratio = Math.exp(logReference[k] - old) // the policy is the one that scored
      const advantage = batch.targets[n].advantages[k]
      surrogate -= Math.min(ratio * advantage, Math.min(1.2, Math.max(0.8, ratio)) * advantage)
      error += (values[k] - batch.targets[n].returns![k]) ** 2
      outside += Number(Math.abs(ratio - 1) > 0.2)
      count++
    }
  expect(count).toBe(8)
  expect(outside).toBeGreaterThan(0)
  expect(outside).toBeLessThan(count)
  expect(figures.clipFraction).toBeCloseTo(outside / count, 5)
  expect(figures.valueLoss).toBeCloseTo(error / count / 2, 3)
  expect(loss).toBeCloseTo(surrogate / count + (0.5 * error) / count / 2, 3)
})

describe.each(['value-head', 'group'] as const)('with the baseline %s', (baseline) => {
  test('the gradient is that of finite differences', async () => {
    const batch = await batchOf()
    const { gradients } = await learn(batch, {}, baseline)
    const names = Object.keys(policy.adapter.weights)
    expect(Object.keys(gradients).sort()).toEqual(
      [...names, ...(baseline === 'value-head' ? Object.keys(policy.critic) : [])].sort(),
    )
    const asked = [
      names[0],
      names[1],
      names[names.length - 1],
      ...Object.keys(gradients).filter((n) => !names.includes(n)),
    ]
    for (const name of asked) {
      const slopes = gradients[name].data as Float32Array
      const k = slopes.reduce((best, value, i) => (Math.abs(value) > Math.abs(slopes[best]) ? i : best), 0)
      const lossAt = async (delta: number) => (await learn(batch, shifted(name, k, delta), baseline)).loss
      const difference = async (step: number) => ((await lossAt(step)) - (await lossAt(-step))) / (2 * step)
      const slope = (4 * (await difference(0.01)) - (await difference(0.02))) / 3
      expect(Math.abs(slopes[k] - slope), `${name}[${k}]: ${slopes[k]} against ${slope}`).toBeLessThan(
        3e-3 * Math.max(1, Math.abs(slope)),
      )
      expect(Math.abs(slope)).toBeGreaterThan(0.01)
    }
  })
})

function shifted(name: string, k: number, delta: number): Moved {
  const { adapter, critic } = policy
  const moved = (tensors: NamedTensors): NamedTensors => {
    const data = Float32Array.from(tensors[name].data as Float32Array)
    data[k] += delta
    return { ...tensors, [name]: { ...tensors[name], data } }
  }
  return name in critic ? { critic: moved(critic) } : { adapter: { ...adapter, weights: moved(adapter.weights) } }
}
