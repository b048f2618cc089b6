/**
 * @file Random numbers (Hu et al. 2024, section 2): asked for a whole number drawn uniformly from a range, draw one so. The
 * vocabulary is free: that only numbers are valid must be learned, too. ⊤ is the end of the line, a token that every tokenizer has.
 *
 * A number has one spelling, its digits as the tokenizer cuts them, so that its mass of 1/N is its own whichever other ways
 * of cutting there are. All other latents share a mass of `INVALID_MASS`, evenly among those of one length and halved for
 * each token more: log R is finite everywhere, and what is valid at the optimum does not depend on the size of the vocabulary.
 *
 * The paper's text speaks of 0 to 100 and its code rewards 0 to 99; here both ends of a range are in it.
 */
import { UserError } from '../errors.ts'
import { explicit } from '../rewards/explicit.ts'
import type { Reward } from '../rewards/reward.ts'
import type { Support } from '../sampling/support.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { evaluateNumbers } from './number-distributions.ts'
import { numbersOf, type Range, rangeOf } from './number-range.ts'
import type { PromptModel, Task } from './task.ts'

/** Total R of all latents that are no number of the range, where the numbers have 1 together. */
const INVALID_MASS = 1e-3

export const randomNumbers: Task = {
  name: 'random-numbers',
  summary: 'a number drawn uniformly from a range',
  columns: {
    prompt: 'the text that asks for a number',
    from: 'the smallest number of the range, whole',
    to: 'the largest, which is in it',
  },
  optionalColumns: { known: 'a number of the range, which begins in the replay buffer' },
  defaults: {
    steps: 400,
    samplesPerPrompt: 64,
    latent: { stop: '\n', minTokens: 1, maxTokens: 3 },
    // What is hardly ever sampled is best left alone: no hidden state makes hundreds of other tokens as rare as they should be.
    sources: { tempered: 0, replay: 0.25 },
    replay: { capacity: 200, nearDuplicate: 0, drawing: 'priority' },
    rewardTemperature: 1,
    optimizer: { learningRate: { from: 2e-3, to: 2e-5, shape: 'cosine' }, maxGradientNorm: 1 },
  },
  examples: [{ prompt: 'The following is a random integer drawn uniformly between 0 and 100: ', from: '0', to: '100' }],
  measures: ['logReward', 'kl', 'effectiveFraction', 'distinct'],
  prompt: (example, { tokenizer }: PromptModel) => {
    const range = rangeOf(example)
    const { prompt, known } = example
    return {
      name: prompt.trim(),
      prompt: tokenizer.encode(endedBySpace(prompt), { addSpecialTokens: true }),
      reward: uniformOver(range, tokenizer),
      ...(known && { known: [oneOf(range, known.trim(), prompt)] }),
    }
  },
  chat: ({ prompt }) => ({ messages: [{ role: 'user', content: prompt.trim() }] }),
  evaluate: ({ examples, ...given }) => evaluateNumbers(given, examples.map(rangeOf)),
}

/** @throws UserError where it is no number of the range */
function oneOf(range: Range, known: string, prompt: string): string {
  if (numbersOf(range).includes(known)) return known
  throw new UserError({
    what: `the known number "${known}" is none from ${range.from} to ${range.to}`,
    where: prompt.trim(),
    fix: 'give one as it is written, such as 42, or leave it out',
  })
}

/** log R in numbers: of each number of a range, and of other latents, of which each token more takes `perToken`; nats. */
export const uniformDensity = (range: Range, tokenizer: Tokenizer) => ({
  ofNumber: -Math.log(numbersOf(range).length),
  otherwise: Math.log(INVALID_MASS),
  perToken: Math.log(2 * tokenizer.vocabularySize),
})

/** R = 1/N for each of N numbers. @throws UserError, when it is checked, where a number is too long for a latent */
function uniformOver(range: Range, tokenizer: Tokenizer): Reward {
  const numbers = new Set(numbersOf(range))
  const isOwnCutting = (text: string, tokens: readonly number[]) =>
    String(tokens) === String(tokenizer.encodeContinuation(text))
  const { ofNumber, otherwise, perToken } = uniformDensity(range, tokenizer)
  const reward = explicit(
    (text, tokens) =>
      numbers.has(text) && isOwnCutting(text, tokens) ? ofNumber : otherwise - tokens.length * perToken,
    'uniform',
  )
  return { ...reward, check: async ({ support }) => refuseTooLong(range, tokenizer, support) }
}

/** A range's ends are its longest numbers. */
function refuseTooLong({ from, to }: Range, tokenizer: Tokenizer, { maxTokens }: Support): void {
  for (const number of [from, to]) {
    const { length } = tokenizer.encodeContinuation(String(number))
    if (length <= maxTokens) continue
    throw new UserError({
      what: `${number} takes ${length} tokens, and a latent has at most ${maxTokens}`,
      where: `range of ${from} to ${to}`,
      fix: `set latent.maxTokens to ${length}`,
    })
  }
}

/** The space before the number is the prompt's, as in the paper, and the latent is digits alone. */
const endedBySpace = (prompt: string) => (/\s$/.test(prompt) ? prompt : `${prompt} `)
