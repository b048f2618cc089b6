import { afterAll, beforeAll, expect, test } from 'vitest'
import { initialAdapter, type LoraAdapter } from '../adapters/lora.ts'
import { scoreUnderPolicy } from '../gflownet/policy.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { seededRandom } from '../random.ts'
import { sampleLatents } from './sample.ts'
import type { Support } from './support.ts'

const folder = new URL('../../models/stories260K', import.meta.url).pathname
const STOP = 426
const support: Support = { stop: STOP, minTokens: 0, maxTokens: 8 }
let model: LanguageModel
let prompt: number[]
let adapter: LoraAdapter

beforeAll(async () => {
  model = await loadLanguageModel(folder, { threads: 1 })
  prompt = model.tokenizer.encode('Once upon a time, there was a', { addSpecialTokens: true })
  adapter = initialAdapter(
    { rank: 4, alpha: 8, targets: model.description.defaultTargets },
    model.description.linears,
    seededRandom(5),
  )
  const draws = seededRandom(6).at('b')
  for (const [name, { data }] of Object.entries(adapter.weights))
    if (name.includes('lora_B')) for (let i = 0; i < data.length; i++) data[i] = draws.normal() * 0.2
})
afterAll(() => model.dispose())

const sample = (
  count: number,
  options: { support?: Support; seed?: number; temperature?: number; adapter?: LoraAdapter } = {},
) =>
  model.lanes.use((lane) =>
    sampleLatents(
      lane,
      { model: model.description, support: options.support ?? support, adapter: options.adapter },
      {
        prompt,
        temperatures: new Array<number>(count).fill(options.temperature ?? 1),
        draws: seededRandom(options.seed ?? 1).at('sample'),
      },
    ),
  )

test('equal seeds give equal latents, other seeds others', async () => {
  expect(await sample(10)).toEqual(await sample(10))
  expect(await sample(10)).not.toEqual(await sample(10, { seed: 2 }))
})

test.each(['the base model', 'an adapter'])(
  'samples of %s occur as often as their exact probability says',
  async (which) => {
    const words = [262, 286, 298, 335]
    const bias = new Float32Array(model.description.dimensions.vocabulary).fill(-Infinity)
    for (const word of words) bias[word] = 0
    const narrow: Support = { stop: STOP, minTokens: 1, maxTokens: 2, bias }
    const used = which === 'an adapter' ? adapter : undefined
    const possible = [...words.map((a) => [a]), ...words.flatMap((a) => words.map((b) => [a, b]))]
    const scores = await model.lanes.use((lane) =>
      scoreUnderPolicy(
        lane,
        { model: model.description, adapter: used, support: narrow },
        { prompt, latents: possible },
      ),
    )
    const probabilities = scores.map(({ logQ }) => Math.exp(logQ))
    expect(probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 5)

    const count = 4000
    const seen = new Map<string, number>()
    for (const latent of await sample(count, { support: narrow, adapter: used }))
      seen.set(`${latent}`, (seen.get(`${latent}`) ?? 0) + 1)
    const rare = (i: number) => count * probabilities[i] < 5
    const cells = possible.flatMap((latent, i) =>
      rare(i) ? [] : [{ expected: count * probabilities[i], seen: seen.get(`${latent}`) ?? 0 }],
    )
    const chiSquare = cells.reduce((sum, { expected, seen }) => sum + (seen - expected) ** 2 / expected, 0)
    expect(cells.length).toBeGreaterThan(5)
    expect(chiSquare).toBeLessThan(cells.length + 4 * Math.sqrt(2 * cells.length)) // four standard deviations of χ²
  },
)

test('a temperature of 4 samples from logits divided by 4 at the first token', async () => {
  const hot = await sample(400, { temperature: 4 })
  const cold = await sample(400, { temperature: 0.25 })
  const firsts = (latents: number[][]) => new Set(latents.map(([first]) => first)).size
  expect(firsts(hot)).toBeGreaterThan(4 * firsts(cold))
})

test('no latent is shorter than the minimum, longer than the maximum, or holds ⊤ or a forbidden token', async () => {
  const bias = new Float32Array(model.description.dimensions.vocabulary)
  const forbidden = 286
  bias[forbidden] = -Infinity
  const latents = await sample(200, { support: { stop: STOP, minTokens: 3, maxTokens: 5, bias }, temperature: 2 })
  for (const latent of latents) {
    expect(latent.length).toBeGreaterThanOrEqual(3)
    expect(latent.length).toBeLessThanOrEqual(5)
    expect(latent).not.toContain(STOP)
    expect(latent).not.toContain(forbidden)
  }
  expect(new Set(latents.map(({ length }) => length))).toEqual(new Set([3, 4, 5]))
})

test('a row that ends early does not change what the others draw', async () => {
  const many = await sample(40, { temperature: 1.5 })
  expect(new Set(many.map(({ length }) => length)).size).toBeGreaterThan(2)
  const few = await sample(5, { temperature: 1.5 })
  expect(few).toEqual(many.slice(0, 5))
})

test('a latent after a beginning is the one that the prompt with that beginning gives, in a batch of unequal ones', async () => {
  const beginnings = [' little girl', ' big red dog who was', ' cat'].map((text) =>
    model.tokenizer.encodeContinuation(text),
  )
  const draws = () => seededRandom(9).at('beginnings')
  const sampler = { model: model.description, support, adapter }
  const temperatures = [1, 1, 1]
  const together = await model.lanes.use((lane) =>
    sampleLatents(lane, sampler, { prompt, temperatures, draws: draws(), beginnings }),
  )
  for (const [n, beginning] of beginnings.entries()) {
    const alone = await model.lanes.use((lane) =>
      sampleLatents(lane, sampler, { prompt: [...prompt, ...beginning], temperatures, draws: draws() }),
    )
    expect(together[n]).toEqual(alone[n]) // equal draws, and no logits are close enough to an edge to differ
  }
})
