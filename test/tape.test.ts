/** What sampling leaves on a tape, against the learn step that computes all itself. */
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LoraAdapter } from '../src/adapters/lora.ts'
import { readPeftFolder } from '../src/adapters/peft.ts'
import { type LearnResult, learnStep } from '../src/gflownet/learn-step.ts'
import type { Holding, ModelDescription } from '../src/models/architecture.ts'
import { everyWeightOf } from '../src/models/every-weight.ts'
import type { Lane, Lanes } from '../src/models/lane.ts'
import { describeModel, loadWeights } from '../src/models/language-model.ts'
import { openTape, type Tape } from '../src/models/tape.ts'
import { seededRandom } from '../src/random.ts'
import { rowsOf } from '../src/runtime/session.ts'
import { type Latent, tokenLists } from '../src/sampling/latent.ts'
import { sampleWithTool } from '../src/sampling/sample.ts'
import type { Support } from '../src/sampling/support.ts'
import type { BoundTool } from '../src/sampling/tools.ts'
import { distance, largestOf } from './largest-entry.ts'

const golden = new URL('./golden/', import.meta.url).pathname
/** Few tokens are allowed, so that many latents begin alike. */
const supportOf = ({ dimensions: { vocabulary } }: ModelDescription): Support => ({
  ...{ stop: 2, minTokens: 0, maxTokens: 5 },
  bias: Float32Array.from({ length: vocabulary }, (_, token) =>
    token > 2 && token < 8 ? 0 : Number.NEGATIVE_INFINITY,
  ),
})
const objective = { name: 'subtrajectory-balance', lambda: 0.9 } as const
/** Writes after two of five tokens, so that what it writes after one latent may be chosen in another. */
const tool: BoundTool = async (tokens) => (tokens.at(-1)! < 5 ? [6, 3] : [])

type Case = { tool?: BoundTool; others?: readonly Latent[]; room?: number; withOthers?: boolean; samples?: number }
const replayed: Latent[] = [
  { tokens: [3, 5, 7], inserted: [] },
  { tokens: [4, 4, 4, 4, 4], inserted: [] },
  { tokens: [], inserted: [] },
]
const cases: [name: string, Case][] = [
  ['latents that were sampled', {}],
  ['and others besides', { others: replayed, withOthers: true }],
  ['others that nobody spoke of', { others: replayed }],
  ['room for others, and none there', { withOthers: true }],
  ['a tool that writes into them', { tool }],
  ['a tool, and others', { tool, others: replayed, withOthers: true }],
  ['room for the first tokens only', { room: 14 }],
  ['no room at all', { room: 0 }],
  ['a single latent', { samples: 1 }],
]

/** A tape, the latents that were drawn onto it and others, and what is learned from them without it. */
async function sampled(
  lane: Lane,
  policy: { model: ModelDescription; adapter: LoraAdapter },
  given: Case,
  prompt: number[],
) {
  const { others = [], room = 200, withOthers = false, samples = 24 } = given
  const tape = await openTape(lane, policy, { prompt: prompt.length, tokens: room, withOthers })
  const temperatures = Array.from({ length: samples }, (_, n) => (n % 3 === 0 ? 2 : 1))
  const sampling = () => ({ prompt, temperatures, draws: seededRandom(3).at('tape') })
  const support = supportOf(policy.model)
  const sampler = { ...policy, support, tool: given.tool, int8: policy.model.int8 }
  const drawn = await sampleWithTool(lane, sampler, { ...sampling(), tape })
  expect(drawn).toEqual(await sampleWithTool(lane, sampler, sampling()))
  const all = [...drawn, ...others]
  const draws = seededRandom(4).at('rewards')
  const logRewards = all.map(({ tokens }) => [0, ...tokens].map(() => -4 * draws.uniform()))
  const batch = { prompt, ...tokenLists(all), logRewards }
  const learn = (tape?: Tape) => learnStep(lane, { ...policy, support, objective }, batch, tape)
  return { tape, drawn, learn }
}

function expectEqual(taped: LearnResult, plain: LearnResult) {
  expect(plain.loss).toBeGreaterThan(0.1)
  expect(Math.abs(taped.loss / plain.loss - 1)).toBeLessThan(1e-5)
  expect(Object.keys(taped.gradients)).toEqual(Object.keys(plain.gradients))
  for (const [name, gradient] of Object.entries(taped.gradients)) {
    const expected = plain.gradients[name]
    expect(distance(gradient, expected), name).toBeLessThan(1e-5 * Math.max(1, largestOf(expected)))
  }
  for (const [n, { logQ }] of taped.scores.entries()) expect(logQ).toBeCloseTo(plain.scores[n].logQ, 4)
}

const promptOf = (name: string): number[] =>
  JSON.parse(readFileSync(`${golden}models-${name}.json`, 'utf8')).tokens.slice(0, 6)

const open = (name: string, holding: Partial<Holding> = {}) => {
  const folder = `${golden}checkpoints/${name}`
  const model = describeModel(folder, { storage: 'float32', recompute: 'nothing', ...holding })
  return loadWeights(folder, model, { threads: 1 })
}

describe.each(readdirSync(`${golden}checkpoints`))('%s', (name) => {
  test('learns from a tape what it learns without one', async () => {
    const { description: model, lanes } = await open(name)
    const adapter = readPeftFolder(`${golden}adapters/${name}`)
    await lanes.use(async (lane) => {
      const { tape, learn } = await sampled(
        lane,
        { model, adapter },
        { others: replayed, withOthers: true },
        promptOf(name),
      )
      expectEqual(await learn(tape), await learn())
    })
    await lanes.dispose()
  })
})

describe.each([
  ['llama', {}],
  ['gpt2', {}],
  ['llama', { storage: 'float16' }],
  ['gpt2', { storage: 'float16' }],
  ['llama', { recompute: 'cheap' }],
] as [string, Partial<Holding>][])('%s %o', (name, holding) => {
  let model: ModelDescription
  let lanes: Lanes
  const adapter = readPeftFolder(`${golden}adapters/${name}`)
  const prompt = promptOf(name)
  beforeAll(async () => {
    ;({ description: model, lanes } = await open(name, holding))
  })
  afterAll(() => lanes.dispose())

  test.each(cases)('the same is learned with a tape of %s', (_, given) =>
    lanes.use(async (lane) => {
      const { tape, drawn, learn } = await sampled(lane, { model, adapter }, given, prompt)
      const tokens = drawn.reduce((sum, { tokens }) => sum + tokens.length, 0)
      if (given.room === undefined) expect(tape.read.length).toBeGreaterThan(0)
      expect(tape.read.length).toBeLessThanOrEqual(given.samples === 1 ? tokens : tokens - 5) // what they share is read once
      expectEqual(await learn(tape), await learn())
    }),
  )

  test('what stands on it, of every layer, is what is learned from', () =>
    lanes.use(async (lane) => {
      const { tape, learn } = await sampled(lane, { model, adapter }, {}, prompt)
      const { gradients: good } = await learn(tape)
      for (const [name, rows] of Object.entries(tape.outputs())) {
        const { zeros } = await lane.runtime.allocate({ zeros: rows.shape })
        const { gradients: bad } = await learn({
          ...tape,
          outputs: () => ({ ...tape.outputs(), [name]: rowsOf(zeros, 0, rows.shape[0]) }),
        })
        await lane.runtime.release([zeros])
        const moved = Object.keys(good).map((matrix) => distance(bad[matrix], good[matrix]))
        expect(Math.max(...moved), name).toBeGreaterThan(1e-3)
      }
    }))
})

test('every weight of a model is learned from a tape, too', async () => {
  const { description: model, lanes } = await open('llama')
  const adapter = everyWeightOf({ path: `${golden}checkpoints/llama`, description: model })
  await lanes.use(async (lane) => {
    const { tape, learn } = await sampled(lane, { model, adapter }, { others: replayed }, promptOf('llama'))
    expectEqual(await learn(tape), await learn())
  })
  await lanes.dispose()
})

test('with int8 products what is learned from a tape is as near as what is learned without', async () => {
  const { description, lanes } = await open('llama')
  const adapter = readPeftFolder(`${golden}adapters/llama`)
  await lanes.use(async (lane) => {
    const policy = { model: { ...description, int8: true }, adapter }
    const { tape, learn } = await sampled(lane, policy, { others: replayed, withOthers: true }, promptOf('llama'))
    const [taped, plain] = [await learn(tape), await learn()]
    expect(Math.abs(taped.loss / plain.loss - 1)).toBeLessThan(0.05)
    for (const [n, { logQ }] of taped.scores.entries()) expect(Math.abs(logQ - plain.scores[n].logQ)).toBeLessThan(0.5)
  })
  await lanes.dispose()
})

describe('a tape is refused', () => {
  let lanes: Lanes
  let model: ModelDescription
  beforeAll(async () => {
    ;({ description: model, lanes } = await open('llama'))
  })
  afterAll(() => lanes.dispose())
  const adapter = readPeftFolder(`${golden}adapters/llama`)
  const batch = { prompt: promptOf('llama'), latents: [[3, 4]], logRewards: [[-1, -1, -1]] }
  const room = { prompt: 6, tokens: 10, withOthers: false }
  const learn = (lane: Lane, tape: Tape, change: { adapter?: LoraAdapter; model?: ModelDescription } = {}) =>
    learnStep(lane, { model, adapter, support: supportOf(model), objective, ...change }, batch, tape)

  test('by another policy than the one that drew', () =>
    lanes.use(async (lane) => {
      const tape = await openTape(lane, { model, adapter }, room)
      const message = 'the tape is of another policy than the one that learns'
      await expect(learn(lane, tape, { adapter: { ...adapter } })).rejects.toThrow(message)
      await expect(learn(lane, tape, { model: { ...model, int8: true } })).rejects.toThrow(message)
    }))

  test('once another was begun', () =>
    lanes.use(async (lane) => {
      const tape = await openTape(lane, { model, adapter }, room)
      await openTape(lane, { model, adapter }, room)
      await expect(learn(lane, tape)).rejects.toThrow('a tape was read after its memory had been given to another')
    }))
})
