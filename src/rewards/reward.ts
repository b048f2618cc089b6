/**
 * @file What a reward is: log R at every prefix of every latent of one prompt, untempered, with its terms by name. It is
 * computed under the reference model (the model without the policy's adapter), once in a latent's life.
 */
import type { LoraAdapter } from '../adapters/lora.ts'
import { UserError } from '../errors.ts'
import type { ModelDescription } from '../models/architecture.ts'
import type { Lane } from '../models/lane.ts'
import { type Inserted, statesOf } from '../sampling/latent.ts'
import { isTerminable, type Support } from '../sampling/support.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import type { Before, Reading } from './prefix-scores.ts'

/** What a reward may look at. */
export type RewardContext = {
  lane: Lane
  model: ModelDescription
  /** The reference model's own adapter, where it was fine-tuned itself. */
  adapter?: LoraAdapter
  tokenizer: Tokenizer
  support: Support
  /** The prompt X as the policy reads it. A reward may have a prompt of its own instead. */
  prompt: readonly number[]
  /** Only the whole latents are of interest: rewards at shorter prefixes need not be computed, and are −∞. */
  onlyWhole?: boolean
  /** Of inner prefixes (neither empty nor whole) only those of these lengths are of interest, for each latent: [samples]. */
  innerPrefixes?: readonly ReadonlySet<number>[]
  /** The tokens of each latent that a tool inserted; absent where no tool had a part. */
  inserted?: readonly Inserted[]
}

/** For each latent, numbers at its prefixes z_1..z_i, i = 0..n: [samples][prefixes], nats. */
export type PrefixValues = number[][]

export type PrefixRewards = {
  /** log R(z_1..z_i ⊤), untempered; −∞ where the latent may not end. */
  logReward: PrefixValues
  /** The terms that it is the sum of. */
  parts: Record<string, PrefixValues>
  /** Names of the terms that a reward temperature leaves alone. */
  untempered?: readonly string[]
}

/** log R of latents of one prompt at every prefix. */
export type Reward = {
  /** Names it in messages and run folders. */
  name: string
  score: ScoreLatents
  /** Refuses before any work what it would refuse while it scores. @throws UserError */
  check?: (context: RewardContext) => Promise<void>
}

export type ScoreLatents = {
  (context: RewardContext, latents: readonly (readonly number[])[]): Promise<PrefixRewards>
  /** What it is made of, where it follows from likelihoods alone (likelihood.ts). */
  likelihood?: Likelihood
}

/** Likelihoods under the reference model, and the reward that follows from them. */
export type Likelihood = {
  ask: (context: RewardContext) => { before: Before; endings: readonly (readonly number[])[]; reading: Reading }
  answer: (
    context: RewardContext,
    latents: readonly (readonly number[])[],
    found: { latent: PrefixValues; endings: readonly PrefixValues[] },
  ) => PrefixRewards
}

/** A reward that checks what it was given by scoring no latents at all. */
export const defineReward = (name: string, score: ScoreLatents): Reward & Required<Pick<Reward, 'check'>> => ({
  name,
  score,
  check: async (context) => void (await score(context, [])),
})

/** The prefixes of each latent at which the reward is asked for, by their lengths: those where the latent may end. */
export const askedPrefixes = (
  { support, onlyWhole, innerPrefixes, inserted }: Asked,
  latents: readonly (readonly number[])[],
): number[][] =>
  latents.map(({ length }, n) => {
    const isAsked = (prefix: number) =>
      prefix === length || (!onlyWhole && (prefix === 0 || !innerPrefixes || innerPrefixes[n].has(prefix)))
    return statesOf(length, inserted?.[n]).filter(
      (prefix, actions) => isTerminable(support, actions) && isAsked(prefix),
    )
  })

export type Asked = Pick<RewardContext, 'support' | 'onlyWhole' | 'innerPrefixes' | 'inserted'>

/** Sums named parts where the reward is asked for; −∞ elsewhere. */
export function sumParts(
  asked: Asked,
  latents: readonly (readonly number[])[],
  parts: Record<string, PrefixValues>,
): PrefixRewards {
  const terms = Object.values(parts)
  const logReward = askedPrefixes(asked, latents).map((prefixes, n) => {
    const row = new Array<number>(latents[n].length + 1).fill(Number.NEGATIVE_INFINITY)
    for (const i of prefixes) row[i] = terms.reduce((sum, part) => sum + part[n][i], 0)
    return row
  })
  return { logReward, parts }
}

/** A prompt of a reward: text or tokens. Text begins a document, with the tokens that the model expects there, and leaves
 * spaces at its end to what follows. */
export type Text = string | readonly number[]

export const tokensOf = (text: Text, tokenizer: Tokenizer): readonly number[] =>
  typeof text === 'string' ? tokenizer.encodePrompt(text) : text

/** X: what is given for it, or else the policy's own prompt. */
export const beginningOf = (
  beginning: Text | undefined,
  { prompt, tokenizer }: Pick<RewardContext, 'prompt' | 'tokenizer'>,
): readonly number[] => (beginning === undefined ? prompt : tokensOf(beginning, tokenizer))

/**
 * The token before a document's first one, where nothing else is: that which begins a text, or ends the one before.
 * @throws UserError where the model has neither
 */
export function documentStart({ bosToken, eosToken }: Tokenizer): number {
  const start = bosToken ?? eosToken
  if (start !== undefined) return start
  throw new UserError({
    what: 'the model has no token that begins or ends a text, and nothing stands before the latent',
    where: 'reward',
    fix: 'give a beginning, or use another model',
  })
}

/** The same for a text that follows another. */
export const continuationOf = (text: Text, tokenizer: Tokenizer): readonly number[] =>
  typeof text === 'string' ? tokenizer.encodeContinuation(text) : text
