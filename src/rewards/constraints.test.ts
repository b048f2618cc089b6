/** Constraints of the text of every prefix, with the embedded model's tokenizer; and labels of another language model. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { logSumExp } from '../log-space.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { scoreText } from '../models/score-text.ts'
import { explicit } from './explicit.ts'
import { labelLikelihood } from './label-likelihood.ts'
import { type PatternOptions, patterns } from './patterns.ts'
import type { Reward, RewardContext } from './reward.ts'
import { words } from './words.ts'

const folder = new URL('../../models/stories260K', import.meta.url).pathname
let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(folder, { threads: 1 })
})
afterAll(() => model.dispose())

const contextOf = (lane?: RewardContext['lane']) => {
  const { tokenizer, description } = model
  const support = { stop: 426, minTokens: 0, maxTokens: 40 }
  return { lane, model: description, tokenizer, support, prompt: [1] } as RewardContext
}
/** log c at every prefix of one latent. */
const scores = async (reward: Reward, tokens: readonly number[]) =>
  (await reward.score(contextOf(), [tokens])).logReward[0]
const scoreOf = async (reward: Reward, text: string) =>
  (await scores(reward, model.tokenizer.encodeContinuation(text))).at(-1)

describe('words', () => {
  test('are whole words, in any case, at every prefix as it would end there', async () => {
    const reward = words({ required: ['cat'], forbidden: ['dog'], penalty: 3 })
    const tokens = model.tokenizer.encodeContinuation(' A Cat saw the cattle and a dog')
    const naive = tokens.map((_, i) => model.tokenizer.decodeContinuation(tokens.slice(0, i + 1)))
    const expected = ['', ...naive].map((text) => {
      const found = text.toLowerCase().split(/[^a-z]+/)
      return 0 - (found.includes('cat') ? 0 : 3) - (found.includes('dog') ? 3 : 0)
    })
    expect(await scores(reward, tokens)).toEqual(expected)
    expect(new Set(expected)).toEqual(new Set([-3, 0])) // before the cat, after it, and with the dog
  })

  test.each([
    ['a word within another is none', ['art'], ' He started', -10],
    ['letters of other scripts are letters', ['caf'], ' a café', -10],
    ['what patterns would read as a sign is text', ['a.b'], ' axb', -10],
    ['a sign is found as it stands', ['a.b'], ' see a.b', 0],
    ['a phrase may have any space between its words', ['ice  cream'], ' an ice cream', 0],
    ['each missing word counts', ['red', 'blue', 'ball'], ' a red one', -20],
  ])('%s', async (_, required, text, expected) => {
    expect(await scoreOf(words({ required }), text)).toBe(expected)
  })

  test.each<[string, () => unknown, RegExp]>([
    ['no rule', () => words({}), /it has no rule/],
    ['a contradiction', () => words({ required: ['a'], forbidden: ['a'] }), /"a" is required and forbidden/],
    ['an empty word', () => words({ forbidden: [' '] }), /a word without letters/],
    ['an infinite penalty', () => words({ forbidden: ['a'], penalty: Infinity }), /penalty Infinity; give a finite/],
  ])('with %s are refused', (_, build, message) => {
    expect(build).toThrow(message)
  })
})

test.each<[string, PatternOptions, string, number]>([
  ['a required pattern that matches costs nothing', { required: [/\bdogs?\b/] }, ' two dogs', 0],
  ['one that does not costs its penalty', { required: [/^ [A-Z]/], penalty: 2.5 }, ' two dogs', -2.5],
  ['a forbidden one costs once, however often it matches', { forbidden: [/o/] }, ' too good', -10],
  ['one that remembers where it matched begins anew', { required: [/t/g, /t/y, /t/gy], penalty: 1 }, 't t', 0],
])('patterns: %s', async (_, options, text, expected) => {
  const reward = patterns(options)
  for (let again = 0; again < 3; again++) expect(await scoreOf(reward, text)).toBeCloseTo(expected, 12)
})

test('a function sees every prefix that is asked for once, byte for byte, also where a character is cut', async () => {
  const { tokenizer } = model
  const tokens = tokenizer.encodeContinuation(' a 🙂 b')
  const seen: string[] = []
  const reward = explicit((text, own) => {
    seen.push(text)
    expect(text).toBe(tokenizer.decodeContinuation(own))
    return Buffer.concat(own.map(tokenizer.bytesOf)).length // what decoding cannot show is in the tokens
  })
  const { logReward } = await reward.score({ ...contextOf(), onlyWhole: false }, [tokens, tokens.slice(0, 3), tokens])
  const bytes = tokens.map((_, i) => Buffer.concat(tokens.slice(0, i + 1).map(tokenizer.bytesOf)).length)
  expect(logReward[0]).toEqual([0, ...bytes])
  expect(logReward[1]).toEqual([0, ...bytes].slice(0, 4))
  expect(bytes.at(-1)).toBe(Buffer.byteLength(' a 🙂 b'))
  expect(seen).toHaveLength(tokens.length + 1)
  expect(seen.at(-1)).toBe(' a 🙂 b')
  expect(tokens.length).toBeGreaterThan(6) // the face takes four tokens
})

test.each<[string, () => number | Promise<number>, RegExp]>([
  ['gives NaN', () => Number.NaN, /reward "mine": its score of "" is NaN; give the logarithm of a density/],
  ['gives nothing', () => undefined as unknown as number, /its score of "" is undefined/],
  ['gives text', () => '3' as unknown as number, /its score of "" is 3; give the logarithm/],
  ['gives log 0', () => -Infinity, /its score of "" is -Infinity; .* such as -50/],
  [
    'throws',
    () => (null as unknown as { length: number }).length,
    /it threw "Cannot read .*" for ""; mend the function/,
  ],
  ['rejects', () => Promise.reject(new Error('no service')), /it threw "no service" for ""; mend the function/],
])('a function that %s is refused with the text', async (_, density, message) => {
  await expect(explicit(density, 'mine').score(contextOf(), [[300]])).rejects.toThrow(message)
})

test.each(['another model', 'the reference model'])(
  'labels of %s equal separate passes over its own tokens of the text',
  async (which) => {
    const asked = which === 'another model' ? await loadLanguageModel(folder, { threads: 1 }) : model
    const endings = { happy: ' They were happy.', sad: ' They were very sad.' }
    const reward = labelLikelihood({ endings, label: 'sad', beginning: 'Tom lost his ball.', model: asked })
    const { tokenizer, description, lanes } = model
    const latent = tokenizer.encodeContinuation(' He cried 🙂.')
    await lanes.use(async (lane) => {
      const limits = { ...contextOf(lane), support: { stop: 426, minTokens: 1, maxTokens: 40 } }
      const { logReward } = await reward.score(limits, [latent])
      const before = tokenizer.encode('Tom lost his ball.', { addSpecialTokens: true })
      for (let i = 1; i <= latent.length; i++) {
        const text = tokenizer.encodeContinuation(tokenizer.decodeContinuation(latent.slice(0, i)))
        const likelihoods: number[] = []
        for (const ending of Object.values(endings)) {
          const after = tokenizer.encodeContinuation(ending)
          const all = await scoreText(lane, { model: description }, [...before, ...text, ...after])
          likelihoods.push(all.slice(-after.length).reduce((sum, value) => sum + value))
        }
        expect(Math.abs(logReward[0][i] - likelihoods[1] + logSumExp(likelihoods))).toBeLessThan(1e-4)
      }
    })
    if (asked !== model) await asked.dispose()
  },
)
