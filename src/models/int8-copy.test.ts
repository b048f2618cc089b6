/** What is sampled by an int8 copy of the weights, against the exact policy. */
import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { initialAdapter, type LoraAdapter } from '../adapters/lora.ts'
import { readPeftFolder } from '../adapters/peft.ts'
import { withNextTokens } from '../baselines/next-tokens.ts'
import { seededRandom } from '../random.ts'
import { sampleLatents } from '../sampling/sample.ts'
import { storages } from '../tensor/ops/stored.ts'
import type { ModelDescription } from './architecture.ts'
import type { Lanes } from './lane.ts'
import { describeModel, loadLanguageModel, loadWeights } from './language-model.ts'

const golden = new URL('../../test/golden/', import.meta.url).pathname
const embedded = new URL('../../models/stories260K', import.meta.url).pathname

/** log q of every token after each token of some rows that follow a prompt, [tokens][rows][vocabulary]. */
const nextTokens = (
  lanes: Lanes,
  sampler: { model: ModelDescription; adapter?: LoraAdapter; int8: boolean },
  prompt: readonly number[],
  rows: readonly (readonly number[])[],
) =>
  lanes.use((lane) => {
    const support = { stop: 0, minTokens: 0, maxTokens: 64 }
    return withNextTokens(lane, { ...sampler, support }, prompt, async (next) => {
      const all: Float32Array[][] = []
      for (const [place] of rows[0].entries()) {
        const continuations = rows.map((row, n) => ({ parent: place === 0 ? 0 : n, token: row[place] }))
        all.push((await next.after(continuations)).map((state) => state.next.slice()))
      }
      return all
    })
  })

function deviation(exact: Float32Array[][], copied: Float32Array[][]) {
  const pairs = exact.flatMap((rows, i) => rows.map((row, n) => [row, copied[i][n]]))
  const differences = pairs.flatMap(([a, b]) => Array.from(a, (value, token) => Math.abs(value - b[token])))
  const variations = pairs.map(([a, b]) =>
    a.reduce((sum, value, token) => sum + Math.abs(Math.exp(value) - Math.exp(b[token])) / 2, 0),
  )
  return { largest: Math.max(...differences), variation: variations.reduce((a, b) => a + b) / variations.length }
}

/** Of random weights it is 0.03 at most, and of a copy with a wrong matrix several times that. */
const NEAR = 0.05 // total variation, mean over states

describe.each(readdirSync(`${golden}checkpoints`))('the policy of %s by an int8 copy', (name) => {
  test('is near the exact one, and not equal to it', async () => {
    const folder = `${golden}checkpoints/${name}`
    const { description: model, lanes } = await loadWeights(folder, describeModel(folder), { threads: 1 })
    const adapter = readPeftFolder(`${golden}adapters/${name}`)
    const prompt = [1, 2]
    const rows = [
      [3, 5, 8, 4, 7],
      [6, 2, 9, 1, 3],
    ]
    const exact = await nextTokens(lanes, { model, adapter, int8: false }, prompt, rows)
    const copied = await nextTokens(lanes, { model, adapter, int8: true }, prompt, rows)
    await lanes.dispose()
    const { largest, variation } = deviation(exact, copied)
    expect(largest).toBeGreaterThan(1e-4)
    expect(variation).toBeLessThan(NEAR)
  })
})

describe('the embedded model by an int8 copy', () => {
  const text = 'Once upon a time, there was a big dog. He had a red ball and he was so happy to play with it.'

  test.each(storages)('is near itself as it is held, in %s', async (storage) => {
    const model = await loadLanguageModel(embedded, { threads: 1, weights: storage })
    const tokens = model.tokenizer.encode(text, { addSpecialTokens: true })
    const [prompt, rows] = [tokens.slice(0, 6), [tokens.slice(6)]]
    const of = (int8: boolean) => nextTokens(model.lanes, { model: model.description, int8 }, prompt, rows)
    const { variation } = deviation(await of(false), await of(true))
    await model.dispose()
    expect(variation).toBeLessThan(NEAR)
  })

  test('gives a row what it gives it among other rows, bit for bit', async () => {
    const model = await loadLanguageModel(embedded, { threads: 1 })
    const prompt = model.tokenizer.encode(text, { addSpecialTokens: true })
    const sampler = { model: model.description, int8: true }
    const [one, other] = [
      [403, 407, 261],
      [426, 3, 511],
    ].map((beside) => nextTokens(model.lanes, sampler, prompt, [[300, 301, 302], beside, beside.toReversed()]))
    const first = (states: Float32Array[][]) => states.map(([row]) => row)
    expect(first(await one)).toEqual(first(await other))
    await model.dispose()
  })

  test('draws equal latents from equal seeds, on every lane', async () => {
    const model = await loadLanguageModel(embedded, { threads: 2 })
    expect(model.lanes.count).toBe(2)
    const prompt = model.tokenizer.encode(text, { addSpecialTokens: true })
    const support = { stop: 426, minTokens: 0, maxTokens: 8 }
    const adapter = initialAdapter(
      { rank: 4, alpha: 8, targets: ['q_proj', 'down_proj'] },
      model.description.linears,
      seededRandom(5),
    )
    const draw = (int8: boolean) =>
      model.lanes.each([1, 1, 2], (lane, seed) =>
        sampleLatents(
          lane,
          { model: model.description, support, adapter, int8 },
          { prompt, temperatures: new Array(16).fill(1), draws: seededRandom(seed).at('sample') },
        ),
      )
    const [first, again, another] = await draw(true)
    expect(again).toEqual(first)
    expect(another).not.toEqual(first)
    expect(await draw(false)).not.toEqual([first, again, another])
    await model.dispose()
  })
})
