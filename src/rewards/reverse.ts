/** @file The reverse reward: what could have come before a given ending. */
import { posteriorAfter } from './posterior.ts'
import type { Reading } from './prefix-scores.ts'
import { documentStart, type Reward, type Text } from './reward.ts'

/**
 * R(z_1..z_i ⊤) = p(z_1..z_i ⊤ Y): the posterior with X empty. The latent begins a document, whatever prompt the policy
 * reads. Parts as of the posterior.
 */
export const reverse = (options: { ending: Text } & Reading): Reward =>
  posteriorAfter('reverse', ({ tokenizer }) => [documentStart(tokenizer)], options)
