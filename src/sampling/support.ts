/**
 * @file Which latents are possible: their tokens, their length, and ⊤. The policy is renormalised over what is allowed,
 * so that it is a proper distribution over the support; the reward counts on the support and is zero outside. Its
 * likelihoods are those of the whole vocabulary, or renormalised as the policy's are (`renormaliseReward`).
 *
 * At `maxTokens` ⊤ is forced: log q(⊤) = 0 there, for the sampler has no other choice. Before `minTokens` ⊤ is
 * impossible: such prefixes are no terminal states and have no part in any objective.
 */
import { UserError } from '../errors.ts'

/** The latents z_1..z_n ⊤ with minTokens ≤ n ≤ maxTokens over the allowed tokens. */
export type Support = {
  /** The token ⊤ that ends a latent; it never occurs inside one. */
  stop: number
  minTokens: number
  maxTokens: number
  /** [vocabulary], 0 for tokens that may occur inside a latent, −∞ for others; absent where every token may. */
  bias?: Float32Array
  /**
   * Are likelihoods of latents in rewards p'(z_i | …), renormalised over what is allowed at each place, and not p restricted
   * to the support? Only ⊤ at `maxTokens` keeps its likelihood: it is forced on the sampler, not on the reference model.
   */
  renormaliseReward?: boolean
}

/** May the latent end after `prefix` tokens? */
export const isTerminable = ({ minTokens }: Support, prefix: number) => prefix >= minTokens

/** Must it end there? */
export const isForced = ({ maxTokens }: Support, prefix: number) => prefix >= maxTokens

/** Does the policy differ from the plain softmax over the whole vocabulary? */
export const isConstrained = ({ minTokens, bias }: Support) => minTokens > 0 || bias !== undefined

/** The bias of tokens inside a latent, with ⊤ set apart. [vocabulary] */
export function innerBias({ stop, bias }: Support, vocabulary: number): Float32Array {
  const inner = bias ? Float32Array.from(bias) : new Float32Array(vocabulary)
  inner[stop] = Number.NEGATIVE_INFINITY
  return inner
}

/** What is added to the logits of the token after `prefix` tokens that the policy chose: −∞ where it may not stand. [vocabulary] */
export function biasAfter(support: Support, prefix: number, vocabulary: number): Float32Array {
  const bias = innerBias(support, vocabulary)
  if (isTerminable(support, prefix)) bias[support.stop] = 0
  return bias
}

/** @throws UserError where the limits contradict each other or name tokens that do not exist */
export function checkSupport(support: Support, vocabulary: number): Support {
  const { stop, minTokens, maxTokens, bias } = support
  const problem =
    stop < 0 || stop >= vocabulary
      ? `the terminal token ${stop} is not in the vocabulary of ${vocabulary}`
      : minTokens < 0 || maxTokens < Math.max(1, minTokens)
        ? `minTokens ${minTokens} and maxTokens ${maxTokens} leave no latent`
        : bias && bias.length !== vocabulary
          ? `the token bias has ${bias.length} entries for a vocabulary of ${vocabulary}`
          : undefined
  if (problem) throw new UserError({ what: problem, where: 'latent', fix: 'change the limits of the latent' })
  return support
}
