import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DIGITS_ONLY, PPO, trainNumbers } from '../../test/random-numbers.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import type { RewardContext } from '../rewards/reward.ts'
import { parseTrainingConfig, type TrainingOptions, withDefaults } from '../trainers/config.ts'
import { resolvePrompts, supportOf } from '../trainers/prompts.ts'
import { fineTune } from '../trainers/train.ts'
import { embeddedModel } from './embedded.ts'
import { evaluateNumbers } from './number-distributions.ts'
import { randomNumbers } from './random-numbers.ts'
import type { Example } from './task.ts'

let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(embeddedModel, { threads: 2 })
})
afterAll(() => model.dispose())

const [paper] = randomNumbers.examples as readonly Example[]
const digit = { prompt: 'Pick a digit:', from: '0', to: '9' }
const configOf = (options: TrainingOptions = {}) =>
  parseTrainingConfig(withDefaults(randomNumbers.defaults!, options), 'test')
const supportWith = (options: TrainingOptions = {}) => supportOf(configOf(options), model)
const promptOf = (example: Example) => randomNumbers.prompt(example, model)

/** log R of latents given as tokens. */
async function logRewards(example: Example, latents: readonly (readonly number[])[]) {
  const { description, tokenizer, lanes } = model
  const { reward, prompt } = promptOf(example)
  return lanes.use(async (lane) => {
    const support = supportWith()
    const context: RewardContext = {
      ...{ lane, model: description, tokenizer, support, onlyWhole: true },
      prompt: prompt as number[],
    }
    const { logReward } = await reward.score(context, latents)
    return logReward.map((row, n) => row[latents[n].length])
  })
}

describe('the reward', () => {
  const spell = (text: string) => model.tokenizer.encodeContinuation(text)

  test('gives every number of the range the same share of 1', async () => {
    const shares = await logRewards(
      paper,
      Array.from({ length: 101 }, (_, number) => spell(String(number))),
    )
    for (const share of shares) expect(share).toBe(-Math.log(101))
  })

  test('gives a number nothing more for being cut in other ways', async () => {
    const byte = model.tokenizer.idOf('<0x37>')! // 7, which has a piece of its own
    expect(model.tokenizer.decodeContinuation([byte])).toBe('7')
    const [own, other] = await logRewards(paper, [spell('7'), [byte]])
    expect(own).toBe(-Math.log(101))
    expect(other).toBeLessThan(-12)
  })

  test('leaves a thousandth to all else together, evenly within a length', async () => {
    const { vocabularySize } = model.tokenizer
    const invalid = await logRewards(paper, [spell('101'), spell('007'), spell('the'), spell('-1'), spell('10 ')])
    for (const [n, tokens] of ['101', '007', 'the', '-1', '10 '].map(spell).entries()) {
      const ofLength = Math.exp(invalid[n] + tokens.length * Math.log(vocabularySize)) // as many latents as there can be
      expect(ofLength).toBeCloseTo(1e-3 * 0.5 ** tokens.length, 12) // halves of halves: the sum over lengths is 1e-3
    }
  })
})

describe('a row', () => {
  test('keeps the space at the end of its prompt, or gets one, and the latent is digits alone', () => {
    const text = (example: Example) => model.tokenizer.decode(promptOf(example).prompt as number[])
    expect(text(paper)).toMatch(/between 0 and 100: $/)
    expect(text(digit)).toMatch(/Pick a digit: $/)
    expect(promptOf({ ...digit, known: '7' }).known).toEqual(['7'])
  })

  test.each([
    [{ from: '1.5' }, /range of "Pick a digit:": from is "1\.5"; give a whole number/],
    [{ to: '007' }, /to is "007"/],
    [{ from: '9', to: '0' }, /nothing lies between 9 and 0; give the smaller number first/],
    [{ to: '1000000' }, /it has 1000001 numbers; give one of at most 2000/],
    [{ known: '10' }, /the known number "10" is none from 0 to 9/],
  ])('with %j is refused in one line', (change, message) => {
    expect(() => promptOf({ ...digit, ...change } as Example)).toThrow(message)
  })

  test('whose numbers are longer than a latent may be is refused before training', async () => {
    const run = fineTune({
      ...randomNumbers.defaults,
      latent: { stop: '\n', minTokens: 1, maxTokens: 2 },
      model,
      prompts: [promptOf(paper)],
    })
    await expect(run.next()).rejects.toThrow('range of 0 to 100: 100 takes 3 tokens, and a latent has at most 2; set')
  })
})

test('the tempered base model is shown at a temperature that suits it, beside the base model as it is', async () => {
  const prompts = resolvePrompts([promptOf(digit)], { model, maxTokens: 5 })
  const given = { model, support: supportWith(), samplers: { base: undefined }, prompts }
  const { figures, pictures, notes } = await evaluateNumbers(given, [{ from: 0, to: 9 }])
  const [base, tempered] = Object.values(figures)
  expect(Object.keys(figures)[1]).toMatch(/^base at temperature [\d.]+$/)
  expect(tempered['KL(uniform ‖ q)']).toBeLessThanOrEqual(base['KL(uniform ‖ q)'])
  expect(base['valid mass']).toBeLessThan(0.5)
  expect(base.entropy).toBeCloseTo(Math.log(10) - base['KL(q ‖ uniform)'], 6)
  expect(notes).toHaveLength(2)
  expect(Object.keys(pictures!)).toEqual(['numbers'])
})

test('digits are learned from the whole vocabulary: each about as often, and hardly anything else', async () => {
  const { base, tuned } = await trainNumbers(model, { steps: 150, samplesPerPrompt: 32, seed: 1 }, digit)
  expect(base.invalid).toBeGreaterThan(0.9)
  expect(base.kl).toBeGreaterThan(0.2)
  expect(tuned.invalid).toBeLessThan(0.01)
  expect(tuned.kl).toBeLessThan(0.02)
})

test('PPO learns what is valid, and stays skewed', async () => {
  const { base, tuned } = await trainNumbers(model, {
    ...DIGITS_ONLY,
    ...PPO,
    ...{ steps: 30, promptsPerStep: 2, samplesPerPrompt: 32, seed: 1 },
  })
  expect(base.invalid).toBeGreaterThan(0.5)
  expect(tuned.invalid).toBeLessThan(0.1)
  expect(tuned.kl).toBeGreaterThan(0.5)
})
