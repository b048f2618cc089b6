/**
 * @file Continuation (Hu et al. 2024, section 4.1): the next sentence Z of a text X, drawn in proportion to p(Z ⊤ | X)^(1/T) with T
 * below 1: likely as a whole, which sampling at a low temperature token by token is not, and diverse, which search is not.
 *
 * As in the paper ⊤ is the full stop, and what does not belong into one plain sentence is forbidden, in the policy and,
 * renormalised, in the reward.
 */
import { tempered } from '../rewards/tempered.ts'
import { continuationOutcome } from './continuation-outcome.ts'
import { embeddedPrompts } from './embedded.ts'
import { following, type Task } from './task.ts'

export const continuation: Task = {
  name: 'continuation',
  summary: 'the next sentence of a text: likely, and diverse',
  columns: { prompt: 'the text that is continued, one to three sentences' },
  optionalColumns: { known: 'a next sentence, which begins in the replay buffer' },
  defaults: {
    latent: { stop: '.', minTokens: 1, maxTokens: 30, plainSentence: true, renormaliseReward: true },
    rewardTemperature: { from: 1, to: 0.9, steps: 100 },
  },
  examples: embeddedPrompts,
  measures: ['logReward', 'likelihood', 'bestLikelihood', 'kl', 'paretoK', 'ratioVariance', 'diversity'],
  prompt: ({ prompt, known }) => ({
    name: prompt.trim(),
    prompt,
    reward: tempered(),
    ...(known && { known: [following(known)] }),
  }),
  evaluate: continuationOutcome,
  chat: ({ prompt }) => ({
    messages: [{ role: 'user', content: 'Write a text.' }],
    reply: prompt.trim(),
  }),
}
