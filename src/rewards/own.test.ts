import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { ownReward, type RewardFunction } from './own.ts'
import { tempered } from './tempered.ts'

let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(new URL('../../models/stories260K', import.meta.url).pathname, { threads: 1 })
})
afterAll(() => model.dispose())

const score = (reward: ReturnType<typeof ownReward>, minTokens = 0) => {
  const { description, tokenizer, lanes } = model
  const latents = [tokenizer.encodeContinuation(' The dog ran'), tokenizer.encodeContinuation(' A cat')]
  const prompt = tokenizer.encodePrompt('Tom had a dog.')
  const support = { stop: tokenizer.idOf('.')!, minTokens, maxTokens: 9 }
  return lanes.use((lane) => reward.score({ lane, model: description, tokenizer, support, prompt }, latents))
}

test('a function is asked for every prefix at which the latent may end, with its likelihood and the row', async () => {
  const asked: string[] = []
  const reward = ownReward(
    'dogs',
    async (text, { logLikelihood, example, tokens }) => {
      asked.push(text)
      expect(model.tokenizer.decodeContinuation(tokens)).toBe(text)
      return logLikelihood + (text.includes(example.word) ? 0 : -5)
    },
    { word: 'dog' },
  )
  const { logReward, parts } = await score(reward, 1)
  const likelihood = (await score(tempered(), 1)).logReward
  expect(asked[0]).not.toBe('') // the empty latent may not end
  expect(asked).toContain(' The dog ran')
  expect(logReward[0][0]).toBe(-Infinity)
  expect(logReward[0].at(-1)).toBeCloseTo(likelihood[0].at(-1)!, 6)
  expect(logReward[1].at(-1)).toBeCloseTo(likelihood[1].at(-1)! - 5, 6)
  expect(Object.keys(parts)).toEqual(['own'])
})

describe('a function that fails is refused by the text:', () => {
  const failing: [string, RewardFunction, RegExp][] = [
    ['no number', () => '3' as unknown as number, /^reward "mine" of "": it gave "3"; it must be a finite number/],
    ['NaN', () => Number.NaN, /it gave NaN/],
    ['minus infinity', () => Math.log(0), /it gave -Infinity/],
    [
      'a throw',
      (text) => (text as unknown as { a: { b: number } }).a.b,
      /TypeError: .*\(own\.test\.ts, line \d+\); mend/,
    ],
  ]
  test.each(failing)('%s', async (_, reward, message) => {
    await expect(score(ownReward('mine', reward))).rejects.toThrow(message)
  })
})
