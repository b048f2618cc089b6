import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readPeftFolder } from '../adapters/peft.ts'
import { logSumExp } from '../log-space.ts'
import type { ModelDescription } from '../models/architecture.ts'
import { type Lanes, wrapRuns } from '../models/lane.ts'
import { describeModel, loadWeights } from '../models/language-model.ts'
import { textLogits } from '../models/score.ts'
import { type Draws, seededRandom } from '../random.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { power, product, underReference, untempered } from './compose.ts'
import { constrained } from './constrained.ts'
import { contrastive } from './contrastive.ts'
import { explicit } from './explicit.ts'
import { fewShotPosterior } from './few-shot.ts'
import { labelLikelihood } from './label-likelihood.ts'
import { labelPosterior } from './label-posterior.ts'
import { lengthPrior } from './length-prior.ts'
import { posterior } from './posterior.ts'
import { reverse } from './reverse.ts'
import type { Reward, RewardContext } from './reward.ts'
import { tempered } from './tempered.ts'

const golden = new URL('../../test/golden/checkpoints/', import.meta.url).pathname
const STOP = 2
const TOLERANCE = 1e-4 // nats, between one packed pass and separate passes in float32

/** Letters are tokens: 'a' is 3, 'b' is 4, … A document begins with token 1. */
const tokenizer = {
  bosToken: 1,
  eosToken: 2,
  encode: (text: string) => [1, ...spelled(text)],
  encodeContinuation: (text: string) => spelled(text),
  decodeContinuation: (tokens: readonly number[]) => tokens.map((token) => String.fromCharCode(94 + token)).join(''),
} as unknown as Tokenizer
const spelled = (text: string) => Array.from(text, (letter) => letter.charCodeAt(0) - 94)
/** What a reward is at one prefix, by separate passes. `actions`: those of its tokens that the policy chose. */
type Naive = (
  logP: (given: readonly number[], then: readonly number[]) => Promise<number>,
  at: { prompt: readonly number[]; prefix: readonly number[]; actions: number; given: ReadonlySet<number> },
) => Promise<number>

const X = spelled('bcd')
const density = (text: string) => Math.sin(7 * text.length) - (text.includes('b') ? 3 : 0)
const labels = { endings: { other: 'dabc', long: 'cab', same: 'cad', short: 'ca' }, label: 'same' }
const labelTexts = Object.values(labels.endings).map(spelled)
const ofLabels = async (logP: Parameters<Naive>[0], before: readonly number[]) =>
  Promise.all(labelTexts.map((text) => logP(before, text)))

/** Every reward with its slow obvious formula. */
const family: [name: string, reward: Reward, naive: Naive][] = [
  ['tempered', tempered(), (logP, { prompt, prefix }) => logP(prompt, [...prefix, STOP])],
  ['tempered, ⊤ no text', tempered({ stopInText: false }), (logP, { prompt, prefix }) => logP(prompt, prefix)],
  [
    "tempered, a tool's tokens given",
    tempered({ countInserted: false }),
    async (logP, { prompt, prefix, given }) => {
      let sum = await logP([...prompt, ...prefix], [STOP])
      for (const [i, token] of prefix.entries())
        if (!given.has(i)) sum += await logP([...prompt, ...prefix.slice(0, i)], [token])
      return sum
    },
  ],
  ['posterior', posterior({ ending: 'dab' }), (logP, { prompt, prefix }) => logP(prompt, [...prefix, STOP, 6, 3, 4])],
  [
    'posterior of another beginning',
    posterior({ ending: 'da', beginning: X }),
    (logP, { prefix }) => logP(X, [...prefix, STOP, 6, 3]),
  ],
  [
    'posterior, ⊤ no text',
    posterior({ ending: 'dab', stopInText: false }),
    (logP, { prompt, prefix }) => logP(prompt, [...prefix, 6, 3, 4]),
  ],
  [
    'posterior of one token, ⊤ no text',
    posterior({ ending: 'd', stopInText: false }),
    (logP, { prompt, prefix }) => logP(prompt, [...prefix, 6]),
  ],
  ['reverse', reverse({ ending: 'dab' }), (logP, { prefix }) => logP([1], [...prefix, STOP, 6, 3, 4])],
  [
    'few-shot posterior',
    fewShotPosterior({ demonstrations: ['abc', 'bbd'], separator: 'e', beginning: 'cd', ending: 'da' }),
    (logP, { prefix }) => logP([1, ...spelled('abcebbdecd')], [...prefix, STOP, 6, 3]),
  ],
  [
    "few-shot posterior of the policy's prompt",
    fewShotPosterior({ demonstrations: ['ab'], separator: 'e', ending: 'da', stopInText: false }),
    (logP, { prompt, prefix }) => logP([1, ...spelled('abe'), ...prompt], [...prefix, 6, 3]),
  ],
  [
    'contrastive',
    contrastive({ conditional: 1.5, unconditional: -0.75 }),
    async (logP, { prompt, prefix }) =>
      1.5 * (await logP(prompt, [...prefix, STOP])) - 0.75 * (await logP([1], [...prefix, STOP])),
  ],
  [
    'contrastive, against another prompt',
    contrastive({ unconditional: -0.5, background: X }),
    async (logP, { prompt, prefix }) =>
      (await logP(prompt, [...prefix, STOP])) - 0.5 * (await logP(X, [...prefix, STOP])),
  ],
  [
    'label posterior',
    labelPosterior(labels),
    (logP, { prompt, prefix }) => logP(prompt, [...prefix, STOP, ...spelled('cad')]),
  ],
  [
    'label posterior, normalised',
    labelPosterior({ ...labels, normalised: true, stopInText: false }),
    async (logP, { prompt, prefix }) => {
      const all = await ofLabels(logP, [...prompt, ...prefix])
      return (await logP(prompt, prefix)) + all[2] - logSumExp(all)
    },
  ],
  [
    'label likelihood',
    labelLikelihood({ ...labels, beginning: X }),
    async (logP, { prefix }) => {
      const all = await ofLabels(logP, [...X, ...prefix, STOP])
      return all[2] - logSumExp(all)
    },
  ],
  ['explicit function', explicit(density), async (_, { prefix }) => density(tokenizer.decodeContinuation(prefix))],
  [
    'explicit table',
    explicit({ table: { '': -1, a: -2, ab: 3, constructor: 9 }, otherwise: -20 }),
    async (_, { prefix }) => ({ '': -1, a: -2, ab: 3 })[tokenizer.decodeContinuation(prefix)] ?? -20,
  ],
  [
    'length prior, a table',
    lengthPrior({ logProbabilities: [-3, -1, -2], otherwise: -9 }),
    async (_, { actions }) => [-3, -1, -2][actions] ?? -9,
  ],
  [
    'length prior, Poisson',
    lengthPrior({ mean: 2.5 }),
    async (_, { actions }) => Math.log((2.5 ** actions * Math.exp(-2.5)) / [1, 1, 2, 6, 24, 120, 720][actions]),
  ],
  [
    'constrained',
    constrained({ constraints: [explicit(density), lengthPrior({ mean: 2 })] }),
    async (logP, { prompt, prefix, actions }) =>
      (await logP(prompt, [...prefix, STOP])) +
      density(tokenizer.decodeContinuation(prefix)) +
      Math.log((2 ** actions * Math.exp(-2)) / [1, 1, 2, 6, 24, 120, 720][actions]),
  ],
  [
    'product and power',
    power(product(posterior({ ending: 'da' }), power(tempered(), -0.5)), 2),
    async (logP, { prompt, prefix }) =>
      2 * ((await logP(prompt, [...prefix, STOP, 6, 3])) - 0.5 * (await logP(prompt, [...prefix, STOP]))),
  ],
]

describe.each(['llama', 'gpt2'])('rewards of %s in one packed pass', (name) => {
  let model: ModelDescription
  let lanes: Lanes
  beforeAll(async () => {
    const folder = golden + name
    ;({ description: model, lanes } = await loadWeights(folder, describeModel(folder), { threads: 1 }))
  })
  afterAll(() => lanes.dispose())

  test('a product reads latents once for factors that read them after the same X', () =>
    lanes.use(async (lane) => {
      const trees: string[] = []
      const watched = wrapRuns(lane, (run, key) => (...given) => {
        if (key.startsWith('tree')) trees.push(key)
        return run(...given)
      })
      const context = { lane: watched, model, tokenizer, prompt: [1, 3] }
      const score = (reward: Reward) =>
        reward.score({ ...context, support: { stop: STOP, minTokens: 0, maxTokens: 2 } }, [[3, 4], [5]])
      const factors = [tempered(), power(labelLikelihood(labels), 8), posterior({ ending: 'da' }), tempered()]
      const together = await score(product(...factors))
      expect(trees).toHaveLength(1)
      const apart = await Promise.all(factors.map(score))
      for (const [n, row] of together.logReward.entries())
        for (const [i, value] of row.entries())
          expect(value).toBeCloseTo(
            apart.map(({ logReward }) => logReward[n][i]).reduce((a, b) => a + b),
            3,
          )

      trees.length = 0
      const others = [posterior({ ending: 'da', beginning: X }), tempered({ stopInText: false })]
      await score(
        product(...factors, ...others, underReference(tempered(), readPeftFolder(`${golden}../adapters/${name}`))),
      )
      expect(trees).toHaveLength(4)
    }))

  test('demonstrations are read once for all prompts', () =>
    lanes.use(async (lane) => {
      const reads: (readonly number[])[] = []
      const prompts: typeof lane.prompts = {
        use: (asked, read, use) =>
          lane.prompts.use(
            asked,
            () => {
              reads.push(asked.prompt)
              return read()
            },
            use,
          ),
      }
      const reward = fewShotPosterior({ demonstrations: ['dcba', 'bcd'], separator: 'e', ending: 'a' })
      const support = { stop: STOP, minTokens: 0, maxTokens: 2 }
      for (const prompt of [
        [1, 3],
        [1, 4, 5],
        [1, 6],
      ])
        await reward.score({ lane: { ...lane, prompts }, model, tokenizer, support, prompt }, [[3, 4], [5]])
      expect(reads).toEqual([[1, ...spelled('dcbaebcde')]])
    }))

  /** The slow obvious way: one pass for each text, token by token. */
  const naive = async (lane: RewardContext['lane'], given: readonly number[], then: readonly number[]) => {
    const logits = await textLogits(lane, { model }, [...given, ...then])
    const { vocabulary } = model.dimensions
    return then.reduce((sum, token, i) => {
      const row = logits.subarray((given.length + i - 1) * vocabulary, (given.length + i) * vocabulary)
      return sum + row[token] - logSumExp(row)
    }, 0)
  }

  describe.each(family)('%s', (_, reward, naiveReward) => {
    test.each([1, 2, 3])('equals naive separate passes on a random tree (seed %i)', async (seed) => {
      const draws = seededRandom(seed).at('tree')
      const tokens = (count: number) => Array.from({ length: count }, () => 3 + draws.integer(4)) // few words: many shared prefixes
      const prompt = tokens(1 + draws.integer(6))
      const latents = randomLatents(draws, tokens)
      const inserted =
        seed === 1 ? undefined : latents.map((latent) => places(latent).filter(() => draws.uniform() < 0.3))
      const support = { stop: STOP, minTokens: draws.integer(3), maxTokens: 6 }
      await lanes.use(async (lane) => {
        const known = new Map<string, Promise<number>>()
        const logP = (given: readonly number[], then: readonly number[]) => {
          const key = `${given}|${then}`
          if (!known.has(key)) known.set(key, naive(lane, given, then))
          return known.get(key)!
        }
        const context: RewardContext = { lane, model, support, prompt, tokenizer, inserted }
        const { logReward, parts } = await reward.score(context, latents)
        let states = 0
        for (const [n, latent] of latents.entries())
          for (let i = 0; i <= latent.length; i++) {
            const given = new Set(inserted?.[n])
            const actions = places(latent.slice(0, i)).filter((place) => !given.has(place)).length
            if (actions < support.minTokens || given.has(i)) {
              expect(logReward[n][i]).toBe(-Infinity)
              continue
            }
            states++
            const expected = await naiveReward(logP, { prompt, prefix: latent.slice(0, i), actions, given })
            expect(Math.abs(logReward[n][i] - expected)).toBeLessThan(TOLERANCE)
            const sum = Object.values(parts).reduce((total, part) => total + part[n][i], 0)
            expect(sum).toBeCloseTo(logReward[n][i], 9)
          }
        expect(states).toBeGreaterThan(3)
      })
    })
  })

  test('a reward that is asked for whole latents only equals the last prefix of the full one', async () => {
    const draws = seededRandom(9).at('tree')
    const tokens = (count: number) => Array.from({ length: count }, () => 3 + draws.integer(4))
    const latents = randomLatents(draws, tokens)
    const support = { stop: STOP, minTokens: 0, maxTokens: 6 }
    const reward = posterior({ ending: [7, 8], beginning: [5, 6] })
    await lanes.use(async (lane) => {
      const context: RewardContext = { lane, model, support, prompt: [4], tokenizer }
      const full = await reward.score(context, latents)
      const whole = await reward.score({ ...context, onlyWhole: true }, latents)
      for (const [n, latent] of latents.entries()) {
        expect(whole.logReward[n][latent.length]).toBeCloseTo(full.logReward[n][latent.length], 4)
        expect(whole.logReward[n].slice(0, -1).every((value) => value === -Infinity)).toBe(true)
      }
    })
  })
})

test('terms are named: those of factors, and with their factor where two share a name', async () => {
  const context = { support: { stop: STOP, minTokens: 0, maxTokens: 3 }, tokenizer } as RewardContext
  const both = product(
    explicit(() => 1),
    untempered(explicit(() => 2)),
    explicit(() => 3),
    lengthPrior({ mean: 1 }),
  )
  const { parts, untempered: constant } = await both.score(context, [[3]])
  expect(Object.keys(parts)).toEqual(['explicit', 'explicit explicit', 'explicit explicit (2)', 'length'])
  expect(constant).toEqual(['explicit explicit'])
  const raised = await power(both, 2).score(context, [[3]])
  expect(raised.untempered).toEqual(constant)
  expect(raised.parts['explicit explicit']).toEqual([[4, 4]])
})

test("constraints are left alone by a reward temperature, and a user's reward without parts is one term", async () => {
  const context = { support: { stop: STOP, minTokens: 0, maxTokens: 3 }, tokenizer } as RewardContext
  const mine: Reward = {
    name: 'mine',
    score: async (_, latents) => ({ logReward: latents.map((z) => [...z, 0]), parts: {} }),
  }
  const scored = await constrained({ reward: mine, constraints: [explicit(() => -2)] }).score(context, [[5, 7]])
  expect(scored).toEqual({
    logReward: [[3, 5, -2]],
    parts: { mine: [[5, 7, 0]], explicit: [[-2, -2, -2]] },
    untempered: ['explicit'],
  })
})

test.each<[string, () => unknown, RegExp]>([
  ['an empty ending', () => posterior({ ending: '' }), /the posterior needs an ending/],
  ['an empty ending, reversed', () => reverse({ ending: '' }), /the reverse needs an ending/],
  ['no demonstrations', () => fewShotPosterior({ demonstrations: [], ending: 'a' }), /has no demonstrations/],
  ['an exponent that is no number', () => power(tempered(), Number.NaN), /"tempered": exponent NaN/],
  ['a contrast with nothing', () => contrastive({ unconditional: Number.NaN }), /exponents 1 and NaN are not both/],
  ['an empty product', () => product(), /product of no rewards/],
  ['no constraint', () => constrained({ constraints: [] }), /no constraint; use "tempered"/],
  ['one label', () => labelPosterior({ endings: { a: 'a' }, label: 'a' }), /1 labels; give at least two/],
  [
    'an unknown label',
    () => labelPosterior({ ...labels, label: 'c' }),
    /no label "c"; choose among other, long, same, short/,
  ],
  ['a label without text', () => labelPosterior({ endings: { a: '', b: 'b' }, label: 'b' }), /label "a" has no text/],
  [
    'labels alike',
    () => labelLikelihood({ endings: { a: 'b', b: 'b' }, label: 'b' }),
    /label "b" has the text of another/,
  ],
  ['a mean length of zero', () => lengthPrior({ mean: 0 }), /mean 0; give a finite number above 0/],
  [
    'impossible lengths',
    () => lengthPrior({ logProbabilities: [-Infinity], otherwise: 0 }),
    /log-probability of -Infinity/,
  ],
  ['a table without numbers', () => explicit({ table: { a: Number.NaN }, otherwise: 0 }), /log R of "a" is NaN/],
])('%s is refused', (_, build, message) => {
  expect(build).toThrow(message)
})

test('demonstrations that exceed the context are refused before any work', async () => {
  const model = describeModel(`${golden}llama`)
  const context = {
    model,
    support: { stop: STOP, minTokens: 0, maxTokens: 6 },
    prompt: [1, 3],
    tokenizer,
  } as unknown as RewardContext
  const demonstrations = new Array<string>(40).fill('abcdabcdabcd')
  const reward = constrained({
    reward: fewShotPosterior({ demonstrations, ending: 'ab' }),
    constraints: [explicit(() => 0)],
  })
  await expect(reward.check?.(context)).rejects.toThrow(
    /takes 522 \+ 7 \+ 2 tokens .* and the model reads \d+; give fewer demonstrations/,
  )
  await expect(posterior({ ending: 'ab' }).check?.(context)).resolves.toBeUndefined()
})

test('without a beginning, a model that marks none is refused', async () => {
  const bare = { ...tokenizer, bosToken: undefined, eosToken: undefined } as Tokenizer
  const context = { tokenizer: bare, prompt: [3] } as unknown as RewardContext
  await expect(reverse({ ending: 'a' }).check?.(context)).rejects.toThrow(/no token that begins or ends a text/)
})

const places = (tokens: readonly number[]) => tokens.map((_, i) => i)

/** Latents of unequal length, some empty, some equal, some the beginning of others. */
function randomLatents(draws: Draws, tokens: (count: number) => number[]): number[][] {
  const fresh = Array.from({ length: 2 + draws.integer(5) }, () => tokens(draws.integer(6)))
  return [...fresh, [], fresh[0].slice(0, 2), fresh[1]]
}
