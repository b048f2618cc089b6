/** A model held in fewer bits, or with part of the forward pass computed twice, against the plain one. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { initialAdapter, type LoraAdapter } from '../adapters/lora.ts'
import { learnStep } from '../gflownet/learn-step.ts'
import { seededRandom } from '../random.ts'
import { type HostTensor, sizeOf } from '../runtime/host-tensor.ts'
import { sampleLatents } from '../sampling/sample.ts'
import { type Storage, storages } from '../tensor/ops/stored.ts'
import { type ConfigDescription, type Holding, type ModelDescription, recomputations } from './architecture.ts'
import { storageOf } from './frozen.ts'
import { type Lanes, openLanes } from './lane.ts'
import { describeModel } from './language-model.ts'
import { modelFiles } from './model-files.ts'
import { textLogits } from './score.ts'
import { storedWeights } from './stored-weights.ts'

const path = new URL('../../models/stories260K', import.meta.url).pathname
const config: ConfigDescription = describeModel(path)
const held = (holding: Partial<Holding>): ModelDescription => ({
  ...config,
  ...{ storage: 'float32', recompute: 'nothing' },
  ...holding,
})
const weights = modelFiles(path).openWeights()
afterAll(() => weights.close())
const parts = (name: string, elements: number) => weights.parts(name, elements)
const open = (model: ModelDescription, values = parts) =>
  openLanes({ count: 1, threads: 1 }, storedWeights(model, values))

/** The embedded model's weights as they come out of a storage, in float32. */
function* rounded(storage: Storage): Iterable<[string, HostTensor]> {
  const model = held({ storage })
  const arrays = Object.fromEntries(storedWeights(model, parts))
  for (const name of Object.keys(model.weights)) yield [name, decoded(arrays, name, storageOf(model, name))]
}

function decoded(arrays: Record<string, HostTensor>, name: string, storage: Storage): HostTensor {
  const { dtype, data } = arrays[name]
  if (dtype === 'float32') return arrays[name]
  const shape = config.weights[name]
  const [, columns] = shape
  const half = (bits: number) => {
    const [sign, exponent, mantissa] = [bits >> 15, (bits >> 10) & 31, bits & 1023]
    return (sign ? -1 : 1) * (exponent ? 2 ** (exponent - 15) * (1 + mantissa / 1024) : 2 ** -14 * (mantissa / 1024))
  }
  const value = (i: number) => {
    if (storage === 'float16') return half(Number(data[i]))
    const scale = half(Number(arrays[`${name}.scale`].data[Math.floor(i / 32)]))
    if (storage === 'int8') return Number(data[i]) * scale
    const column = i % columns
    const byte = Number(data[((i - column) / columns) * (columns / 2) + (column % (columns / 2))])
    return (
      ((column < columns / 2 ? byte & 15 : byte >> 4) - Number(arrays[`${name}.zero`].data[Math.floor(i / 32)])) * scale
    )
  }
  return { dtype: 'float32', shape, data: Float32Array.from({ length: sizeOf(shape) }, (_, i) => value(i)) }
}

const prompt = [1, 403, 407, 261]
const draws = seededRandom(5).at('latents')
const latents = [3, 0, 6, 2].map((length) => Array.from({ length }, () => 3 + draws.integer(500)))
const support = { stop: 426, minTokens: 0, maxTokens: 6 }

function adapterOf({ linears, defaultTargets }: ModelDescription): LoraAdapter {
  const adapter = initialAdapter({ rank: 4, alpha: 8, targets: defaultTargets }, linears, seededRandom(1))
  const normal = seededRandom(2).at('B')
  for (const [name, { data }] of Object.entries(adapter.weights))
    if (name.includes('lora_B')) for (let i = 0; i < data.length; i++) data[i] = 0.02 * normal.normal()
  return adapter
}

const learn = (lanes: Lanes, model: ModelDescription) =>
  lanes.use((lane) =>
    learnStep(
      lane,
      { model, adapter: adapterOf(model), support, objective: { name: 'subtrajectory-balance', lambda: 1 } },
      { prompt, latents, logRewards: latents.map((latent) => [...latent, 0].map((_, i) => -10 - i)), logPartition: 0 },
    ),
  )

type Learned = Awaited<ReturnType<typeof learn>>
function expectClose(actual: Learned, wanted: Learned, tolerance: number) {
  expect(Math.abs(actual.loss - wanted.loss) / wanted.loss).toBeLessThan(tolerance)
  expect(Object.keys(actual.gradients)).toEqual(Object.keys(wanted.gradients))
  for (const [name, { data }] of Object.entries(wanted.gradients)) {
    const scale = Math.max(...Array.from(data as Float32Array, Math.abs))
    const other = actual.gradients[name].data
    for (let i = 0; i < data.length; i++)
      expect(Math.abs(Number(other[i]) - Number(data[i])) / scale, name).toBeLessThan(tolerance)
  }
}

let plain: Lanes
beforeAll(async () => {
  plain = await open(held({}))
})
afterAll(() => plain.dispose())

describe.each(storages.filter((storage) => storage !== 'float32'))('%s', (storage) => {
  const model = held({ storage })
  let lanes: Lanes
  let reference: Lanes
  beforeAll(async () => {
    lanes = await open(model)
    reference = await openLanes({ count: 1, threads: 1 }, rounded(storage))
  })
  afterAll(() => Promise.all([lanes.dispose(), reference.dispose()]))

  test('computes the logits, the loss and every gradient of its rounded weights', async () => {
    const tokens = [...prompt, ...latents[2]]
    const [logits, wanted] = await Promise.all([
      lanes.use((lane) => textLogits(lane, { model }, tokens)),
      reference.use((lane) => textLogits(lane, { model: held({}) }, tokens)),
    ])
    for (const [i, logit] of logits.entries()) expect(Math.abs(logit - wanted[i])).toBeLessThan(1e-4)
    expectClose(await learn(lanes, model), await learn(reference, held({})), 1e-4) // another order of the same sums
  })

  test('samples what its rounded weights sample', async () => {
    const sample = (from: Lanes, model: ModelDescription) =>
      from.use((lane) =>
        sampleLatents(
          lane,
          { model, adapter: adapterOf(model), support },
          { prompt, temperatures: Array(8).fill(1), draws: seededRandom(7).at('samples') },
        ),
      )
    expect(await sample(lanes, model)).toEqual(await sample(reference, held({})))
  })

  test('stays close to the plain model', async () => {
    const [a, b] = [await learn(lanes, model), await learn(plain, held({}))]
    const bound = { float16: 1e-3, int8: 0.02, int4: 0.3 }[storage as 'int8'] // relative, of the loss of a tiny model
    expect(Math.abs(a.loss - b.loss) / b.loss).toBeLessThan(bound)
  })
})

describe.each(recomputations)('where %s is computed again', (recompute) => {
  test.each(storages)('the loss and every gradient are the same (%s)', async (storage) => {
    const lanes = await open(held({ storage }))
    const once = await learn(lanes, held({ storage }))
    const other = held({ storage, recompute })
    await lanes.dispose()
    const again = await open(other)
    expectClose(await learn(again, other), once, 1e-6)
    await again.dispose()
  })
})
