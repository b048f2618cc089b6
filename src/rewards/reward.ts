/**
 * @file What a reward is: log R at every prefix of every latent of one prompt, untempered, with its terms by name. It is
 * computed under the reference model (no adapter), once in a latent's life.
 */
import type { ModelDescription } from '../models/architecture.ts'
import type { Lane } from '../models/lane.ts'
import { isTerminable, type Support } from '../sampling/support.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'

/** What a reward may look at. */
export type RewardContext = {
  lane: Lane
  model: ModelDescription
  tokenizer: Tokenizer
  support: Support
  /** The prompt X as the policy reads it. A reward may have a prompt of its own instead. */
  prompt: readonly number[]
  /** Only the whole latents are of interest: rewards at shorter prefixes need not be computed, and are −∞. */
  onlyWhole?: boolean
}

/** For each latent, numbers at its prefixes z_1..z_i, i = 0..n: [samples][prefixes], nats. */
export type PrefixValues = number[][]

export type PrefixRewards = {
  /** log R(z_1..z_i ⊤), untempered; −∞ where the latent may not end. */
  logReward: PrefixValues
  /** The terms that it is the sum of. */
  parts: Record<string, PrefixValues>
}

/** log R of latents of one prompt at every prefix. */
export type Reward = {
  /** Names it in messages and run folders. */
  name: string
  score: (context: RewardContext, latents: readonly (readonly number[])[]) => Promise<PrefixRewards>
}

/** Is the reward asked for after `prefix` of the `length` tokens of a latent? */
export const isAsked = ({ support, onlyWhole }: Asked, prefix: number, length: number): boolean =>
  isTerminable(support, prefix) && (!onlyWhole || prefix === length)

export type Asked = Pick<RewardContext, 'support' | 'onlyWhole'>

/** Sums named parts where the reward is asked for; −∞ elsewhere. */
export function sumParts(
  asked: Asked,
  latents: readonly (readonly number[])[],
  parts: Record<string, PrefixValues>,
): PrefixRewards {
  const logReward = latents.map((latent, n) =>
    Array.from({ length: latent.length + 1 }, (_, i) =>
      isAsked(asked, i, latent.length)
        ? Object.values(parts).reduce((sum, part) => sum + part[n][i], 0)
        : Number.NEGATIVE_INFINITY,
    ),
  )
  return { logReward, parts }
}

/** A prompt of a reward: text or tokens. Text begins a document, with the tokens that the model expects there, and leaves
 * spaces at its end to what follows. */
export type Text = string | readonly number[]

export const tokensOf = (text: Text, tokenizer: Tokenizer): readonly number[] =>
  typeof text === 'string' ? tokenizer.encodePrompt(text) : text

/** The same for a text that follows another. */
export const continuationOf = (text: Text, tokenizer: Tokenizer): readonly number[] =>
  typeof text === 'string' ? tokenizer.encodeContinuation(text) : text
