import { afterAll, beforeAll, expect, test } from 'vitest'
import { scoreUnderPolicy } from '../gflownet/policy.ts'
import { logSumExp } from '../log-space.ts'
import type { ModelDescription } from '../models/architecture.ts'
import type { Lanes } from '../models/lane.ts'
import { describeModel, loadWeights } from '../models/language-model.ts'
import { textLogits } from '../models/score.ts'
import { seededRandom } from '../random.ts'
import { innerBias, type Support } from '../sampling/support.ts'
import { tokenBias } from '../tokenizer/vocabulary.ts'
import { scoreEndings, scorePrefixes } from './prefix-scores.ts'

const folder = new URL('../../test/golden/checkpoints/llama', import.meta.url).pathname
const STOP = 2
const TOLERANCE = 1e-4 // nats, between one packed pass and separate passes in float32

let model: ModelDescription
let lanes: Lanes
beforeAll(async () => {
  ;({ description: model, lanes } = await loadWeights(folder, describeModel(folder), { threads: 1 }))
})
afterAll(() => lanes.dispose())

const prompt = [5, 9, 4]
const latents = [[], [3], [3, 8, 4], [6, 6], [3, 8]]
const ending = [7, 11]
const support = (): Support => {
  const { vocabulary } = model.dimensions
  const bias = tokenBias(vocabulary, { allowed: [3, 4, 6, 8, 20] })
  return { stop: STOP, minTokens: 1, maxTokens: 4, bias, renormaliseReward: true }
}

test('renormalised likelihoods equal naive masked softmaxes; endings keep the whole vocabulary', async () => {
  const limits = support()
  await lanes.use(async (lane) => {
    const { latent: scores, ending: endings } = await scorePrefixes(
      { lane, model, support: limits },
      prompt,
      latents,
      ending,
    )
    const rowAfter = async (text: readonly number[]) => {
      const logits = await textLogits(lane, { model }, text)
      return logits.subarray((text.length - 1) * model.dimensions.vocabulary)
    }
    const logP = async (given: readonly number[], token: number, mayStop: boolean) => {
      const row = await rowAfter([...prompt, ...given])
      const bias = innerBias(limits, row.length)
      if (mayStop) bias[STOP] = 0
      return row[token] - logSumExp(row.map((logit, i) => logit + bias[i]))
    }
    for (const [n, latent] of latents.entries()) {
      let sum = 0
      for (let i = 0; i <= latent.length; i++) {
        if (i > 0) sum += await logP(latent.slice(0, i - 1), latent[i - 1], i - 1 >= 1)
        if (i < 1) continue // the latent may not end there
        const stop = await logP(latent.slice(0, i), STOP, true)
        expect(Math.abs(scores[n][i] - sum - stop)).toBeLessThan(TOLERANCE)
        const [first, second] = [
          [...latent.slice(0, i), STOP],
          [...latent.slice(0, i), STOP, ending[0]],
        ]
        const plain = async (given: readonly number[], token: number) => {
          const row = await rowAfter([...prompt, ...given])
          return row[token] - logSumExp(row)
        }
        const after = (await plain(first, ending[0])) + (await plain(second, ending[1]))
        expect(Math.abs(endings[n][i] - after)).toBeLessThan(TOLERANCE)
      }
    }
  })
})

test('within the limits of latents the reference model is the base policy, but for the end that is forced', async () => {
  const limits = support()
  const possible = latents.filter(({ length }) => length >= limits.minTokens)
  await lanes.use(async (lane) => {
    const { latent } = await scorePrefixes({ lane, model, support: limits }, prompt, possible, [])
    const policy = await scoreUnderPolicy(lane, { model, support: limits }, { prompt, latents: possible })
    for (const [n, { logQ }] of policy.entries()) {
      expect(Math.abs(latent[n][possible[n].length] - logQ)).toBeLessThan(TOLERANCE)
    }
  })
})

test('what a tool inserted is no choice within the limits: actions count, and its own likelihood is that of the whole vocabulary', async () => {
  const limits = { ...support(), minTokens: 2 }
  const inserted = [[1], []] // token 9 is not allowed, and was inserted; the second latent has the same tokens, all chosen
  const tokens = [3, 9, 4]
  await lanes.use(async (lane) => {
    const score = (context: object) =>
      scorePrefixes({ lane, model, support: limits, ...context }, prompt, [tokens, tokens], [])
    const { latent: scores } = await score({ inserted })
    const logP = async (given: readonly number[], token: number, mayStop?: boolean) => {
      const text = [...prompt, ...given]
      const row = (await textLogits(lane, { model }, text)).subarray((text.length - 1) * model.dimensions.vocabulary)
      if (mayStop === undefined) return row[token] - logSumExp(row)
      const bias = innerBias(limits, row.length)
      if (mayStop) bias[STOP] = 0
      return row[token] - logSumExp(row.map((logit, i) => logit + bias[i]))
    }
    const first = await logP([], 3, false)
    const stop = await logP(tokens, STOP, true)
    const withTool = first + (await logP([3], 9)) + (await logP([3, 9], 4, false)) + stop
    const without = first + (await logP([3], 9, false)) + (await logP([3, 9], 4, true)) + stop
    expect(Math.abs(scores[0][3] - withTool)).toBeLessThan(TOLERANCE)
    expect(Math.abs(scores[1][3] - without)).toBeLessThan(TOLERANCE)
    expect(Math.abs(withTool - without)).toBeGreaterThan(10 * TOLERANCE)
  })
})

test.each([
  {
    what: 'with a beginning of their own',
    endings: [
      [7, 11, 5, 8],
      [7, 11, 6, 9, 4],
      [7, 11, 6, 10],
    ],
  },
  { what: 'of which one is the beginning of another', endings: [[7, 11], [7, 11, 6, 9], [7]] },
  { what: 'of one token each', endings: [[7], [11]] },
  {
    what: 'that have only the stop token in common',
    endings: [
      [7, 3, 4],
      [11, 3, 4],
    ],
  },
  {
    what: 'that go on as a latent does',
    endings: [
      [8, 4, 6],
      [8, 4, 7],
    ],
  },
])('endings $what are scored as each is alone, with and without ⊤ before them', async ({ endings }) => {
  await lanes.use(async (lane) => {
    for (const stopInText of [true, false]) {
      const context = { lane, model, support: { stop: STOP, minTokens: 0, maxTokens: 4 } }
      const together = await scoreEndings(context, prompt, latents, endings, { stopInText })
      for (const [e, ending] of endings.entries()) {
        const alone = await scorePrefixes(context, prompt, latents, ending, { stopInText })
        for (const [n, row] of alone.ending.entries())
          for (const [i, value] of row.entries())
            expect(Math.abs(together.endings[e][n][i] - value)).toBeLessThan(TOLERANCE)
        for (const [n, row] of alone.latent.entries())
          for (const [i, value] of row.entries())
            expect(Math.abs(together.latent[n][i] - value)).toBeLessThan(TOLERANCE)
      }
    }
  })
})

test('more than one pass reads gives what passes over single latents give', async () => {
  const limits: Support = { stop: STOP, minTokens: 0, maxTokens: 6 }
  const draws = seededRandom(1).at('latents')
  const many = Array.from({ length: 60 }, () => Array.from({ length: 6 }, () => 3 + draws.integer(3))) // three words: much is shared
  const endings = [
    [7, 11, 9, 13, 6, 8, 12, 10, 5],
    [7, 11, 3, 13, 6, 8, 12, 10, 5],
  ]
  await lanes.use(async (lane) => {
    const context = { lane, model, support: limits }
    const together = await scoreEndings(context, prompt, many, endings)
    for (const [n, latent] of many.entries()) {
      const alone = await scoreEndings(context, prompt, [latent], endings)
      const near = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 4))
      expect(together.latent[n]).toEqual(near([...alone.latent[0]]))
      for (const [e, ending] of alone.endings.entries()) expect(together.endings[e][n]).toEqual(near([...ending[0]]))
    }
  })
})
