import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { logSumExp } from '../log-space.ts'
import type { ModelDescription } from '../models/architecture.ts'
import type { Lanes } from '../models/lane.ts'
import { describeModel, loadWeights } from '../models/language-model.ts'
import { textLogits } from '../models/score.ts'
import { type Draws, seededRandom } from '../random.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { posterior } from './posterior.ts'
import type { RewardContext } from './reward.ts'
import { tempered } from './tempered.ts'

const golden = new URL('../../test/golden/checkpoints/', import.meta.url).pathname
const STOP = 2
const TOLERANCE = 1e-4 // nats, between one packed pass and separate passes in float32

describe.each(['llama', 'gpt2'])('rewards of %s in one packed pass', (name) => {
  let model: ModelDescription
  let lanes: Lanes
  beforeAll(async () => {
    const folder = golden + name
    ;({ description: model, lanes } = await loadWeights(folder, describeModel(folder), { threads: 1 }))
  })
  afterAll(() => lanes.dispose())

  /** The slow obvious way: one pass for each text, token by token. */
  const naive = async (lane: RewardContext['lane'], given: readonly number[], then: readonly number[]) => {
    const logits = await textLogits(lane, { model }, [...given, ...then])
    const { vocabulary } = model.dimensions
    return then.reduce((sum, token, i) => {
      const row = logits.subarray((given.length + i - 1) * vocabulary, (given.length + i) * vocabulary)
      return sum + row[token] - logSumExp(row)
    }, 0)
  }

  test.each([1, 2, 3, 4, 5, 6])('equal naive separate passes on random trees (seed %i)', async (seed) => {
    const draws = seededRandom(seed).at('tree')
    const tokens = (count: number) => Array.from({ length: count }, () => 3 + draws.integer(4)) // few words: many shared prefixes
    const prompt = tokens(1 + draws.integer(6))
    const ending = tokens(1 + draws.integer(4))
    const latents = randomLatents(draws, tokens)
    const support = { stop: STOP, minTokens: draws.integer(3), maxTokens: 6 }
    await lanes.use(async (lane) => {
      const context: RewardContext = { lane, model, support, prompt, tokenizer: {} as Tokenizer }
      const both = await posterior({ ending }).score(context, latents)
      const alone = await tempered().score(context, latents)
      for (const [n, latent] of latents.entries())
        for (let i = 0; i <= latent.length; i++) {
          if (i < support.minTokens) {
            expect(both.logReward[n][i]).toBe(-Infinity)
            continue
          }
          const prefix = [...latent.slice(0, i), STOP]
          const likelihood = await naive(lane, prompt, prefix)
          const afterwards = await naive(lane, [...prompt, ...prefix], ending)
          expect(Math.abs(alone.logReward[n][i] - likelihood)).toBeLessThan(TOLERANCE)
          expect(Math.abs(both.logReward[n][i] - likelihood - afterwards)).toBeLessThan(TOLERANCE)
          expect(Math.abs(both.parts.ending[n][i] - afterwards)).toBeLessThan(TOLERANCE)
        }
    })
  })

  test('a reward that is asked for whole latents only equals the last prefix of the full one', async () => {
    const draws = seededRandom(9).at('tree')
    const tokens = (count: number) => Array.from({ length: count }, () => 3 + draws.integer(4))
    const latents = randomLatents(draws, tokens)
    const support = { stop: STOP, minTokens: 0, maxTokens: 6 }
    const reward = posterior({ ending: [7, 8], beginning: [5, 6] })
    await lanes.use(async (lane) => {
      const context: RewardContext = { lane, model, support, prompt: [4], tokenizer: {} as Tokenizer }
      const full = await reward.score(context, latents)
      const whole = await reward.score({ ...context, onlyWhole: true }, latents)
      for (const [n, latent] of latents.entries()) {
        expect(whole.logReward[n][latent.length]).toBeCloseTo(full.logReward[n][latent.length], 4)
        expect(whole.logReward[n].slice(0, -1).every((value) => value === -Infinity)).toBe(true)
      }
    })
  })
})

test('the posterior refuses an empty ending', () => {
  expect(() => posterior({ ending: '' })).toThrow('needs an ending')
})

/** Latents of unequal length, some empty, some equal, some the beginning of others. */
function randomLatents(draws: Draws, tokens: (count: number) => number[]): number[][] {
  const fresh = Array.from({ length: 2 + draws.integer(5) }, () => tokens(draws.integer(6)))
  return [...fresh, [], fresh[0].slice(0, 2), fresh[1]]
}
