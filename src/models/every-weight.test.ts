/** Every weight trained as a whole: the same model at the beginning, and the gradients of finite differences. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { trainedName } from '../adapters/every-weight.ts'
import type { LoraAdapter } from '../adapters/lora.ts'
import { readPeftFolder, writePeftFolder } from '../adapters/peft.ts'
import { learnStep } from '../gflownet/learn-step.ts'
import { scoreUnderPolicy } from '../gflownet/policy.ts'
import { seededRandom } from '../random.ts'
import { sizeOf } from '../runtime/host-tensor.ts'
import { sampleLatents } from '../sampling/sample.ts'
import { recomputations } from './architecture.ts'
import { everyWeightOf } from './every-weight.ts'
import { describeModel, loadWeights } from './language-model.ts'
import { loadAdapter } from './load-adapter.ts'
import { scoreText } from './score-text.ts'

const golden = new URL('../../test/golden/', import.meta.url).pathname
const home = mkdtempSync(join(tmpdir(), 'every-weight-'))
afterAll(() => rmSync(home, { recursive: true }))

type Opened = Awaited<ReturnType<typeof loadWeights>>

describe.each(['llama', 'gpt2', 'gptj', 'gptj_tied', 'gpt_neox', 'qwen3'])('%s', (name) => {
  const folder = `${golden}checkpoints/${name}`
  const description = describeModel(folder)
  const prompt = (
    JSON.parse(readFileSync(`${golden}models-${name}.json`, 'utf8')) as { tokens: number[] }
  ).tokens.slice(0, 6)
  const latents = [[5, 9], [17, 30, 6], [31]]
  let whole: Opened
  let half: Opened
  let adapter: LoraAdapter
  beforeAll(async () => {
    whole = await loadWeights(folder, description, { threads: 1 })
    half = await loadWeights(folder, { ...description, storage: 'float16' }, { threads: 1 })
    adapter = everyWeightOf({ path: folder, description })
  })
  afterAll(() => Promise.all([whole.dispose(), half.dispose()]))

  const support = {
    stop: 2,
    minTokens: 1,
    maxTokens: 3,
    bias: Float32Array.from({ length: description.dimensions.vocabulary }, (_, i) => (i === 33 ? -Infinity : 0)),
  }
  const objective = { name: 'maximum-likelihood', lambda: 1 } as const
  const learn = (policy: LoraAdapter, { lanes, description: model }: Opened = whole) =>
    lanes.use((lane) => learnStep(lane, { model, adapter: policy, support, objective }, { prompt, latents }))

  test('has every parameter once, and says what the model says before anything is learned', async () => {
    const shapes = Object.fromEntries(Object.entries(adapter.weights).map(([key, { shape }]) => [key, shape]))
    expect(shapes).toEqual(
      Object.fromEntries(Object.entries(description.weights).map(([key, shape]) => [trainedName(key), shape])),
    )
    const texts = [prompt, [...prompt, 7, 8]]
    for (const text of texts) {
      const [plain, trained] = await whole.lanes.use(async (lane) => [
        await scoreText(lane, { model: description }, text),
        await scoreText(lane, { model: description, adapter }, text),
      ])
      // A trained head's normaliser is summed in another order than a frozen one's.
      for (const [i, value] of plain.entries()) expect(trained[i]).toBeCloseTo(value, 5)
    }
  })

  test('scores, samples and learns with what the adapter holds, however the frozen model is held', async () => {
    const changed = shaken(adapter)
    const results = await Promise.all(
      [whole, half].map(async ({ lanes, description: model }) =>
        lanes.use(async (lane) => {
          const draws = seededRandom(1).at('sample')
          const sampler = { model, adapter: changed, support }
          return {
            score: (await scoreUnderPolicy(lane, sampler, { prompt, latents })).map(({ logQ }) => logQ),
            text: await scoreText(lane, sampler, [...prompt, ...latents[1]]),
            sampled: await sampleLatents(lane, sampler, { prompt, temperatures: [1, 1, 1, 1], draws }),
          }
        }),
      ),
    )
    expect(results[1]).toEqual(results[0])
    const [plain] = await whole.lanes.use((lane) =>
      scoreUnderPolicy(lane, { model: description, support }, { prompt, latents }),
    )
    expect(Math.abs(plain.logQ - results[0].score[0])).toBeGreaterThan(0.01)
    const [a, b] = [await learn(changed), await learn(changed, half)]
    expect(b.loss).toBe(a.loss)
    for (const [n, { logQ }] of a.scores.entries()) expect(logQ).toBeCloseTo(results[0].score[n], 5)
  })

  test('has the gradient of finite differences in every weight', async () => {
    const changed = shaken(adapter)
    const { gradients } = await learn(changed)
    expect(Object.keys(gradients)).toEqual(Object.keys(adapter.weights))
    for (const [key, { data, shape }] of Object.entries(gradients)) {
      expect(shape).toEqual(adapter.weights[key].shape)
      // Along the gradient itself: what is wrong anywhere in it shows, and the slope is its length, large against rounding
      const direction = unit(data as Float32Array)
      const at = async (step: number) => (await learn(moved(changed, key, direction, step))).loss
      const difference = async (step: number) => ((await at(step)) - (await at(-step))) / (2 * step)
      const slope = (4 * (await difference(0.01)) - (await difference(0.02))) / 3
      const length = Math.sqrt((data as Float32Array).reduce((sum, value) => sum + value ** 2, 0))
      expect(Math.abs(length - slope), `${key}: ${length} against ${slope}`).toBeLessThan(2e-3 * Math.max(1, slope))
    }
  })

  test.each(recomputations)('has the same gradients with %s computed again', async (recompute) => {
    const plain = await learn(adapter)
    const again = await learn(adapter, { ...whole, description: { ...description, recompute } })
    for (const [key, { data }] of Object.entries(plain.gradients))
      for (let i = 0; i < data.length; i += 7)
        expect(Number(again.gradients[key].data[i])).toBeCloseTo(Number(data[i]), 5)
  })

  test('comes back from its folder bit for bit, which is none of PEFT’s', () => {
    const changed = shaken(adapter)
    writePeftFolder(join(home, name), changed, { baseModel: 'x', layers: description.linears })
    expect(loadAdapter(join(home, name), description)).toEqual(changed)
    expect(JSON.parse(readFileSync(join(home, name, 'adapter_config.json'), 'utf8')).peft_type).toBe(
      'FLOWTUNE_EVERY_WEIGHT',
    )
    const other = describeModel(`${golden}checkpoints/${name === 'llama' ? 'gpt2' : 'llama'}`)
    expect(() => loadAdapter(join(home, name), other)).toThrow(/use it with the model that it was trained on/)
    expect(readPeftFolder(join(home, name)).config.everyWeight).toBe(true)
  })
})

/** Other weights, with equal draws for equal adapters. */
function shaken({ config, weights }: LoraAdapter): LoraAdapter {
  const draws = seededRandom(3).at('shaken')
  const shake = (value: number) => value + 0.05 * draws.normal()
  return {
    config,
    weights: Object.fromEntries(
      Object.entries(weights).map(([name, tensor]) => [
        name,
        { ...tensor, data: Float32Array.from(tensor.data as Float32Array, shake) },
      ]),
    ),
  }
}

function moved({ config, weights }: LoraAdapter, name: string, direction: Float32Array, step: number): LoraAdapter {
  const { data, shape } = weights[name]
  expect(data.length).toBe(sizeOf(shape))
  const values = Float32Array.from(data as Float32Array, (value, i) => value + step * direction[i])
  return { config, weights: { ...weights, [name]: { ...weights[name], data: values } } }
}

function unit(values: Float32Array): Float32Array {
  const length = Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0))
  return values.map((value) => value / length)
}
