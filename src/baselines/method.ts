/**
 * @file What every method that answers a prompt without learning looks like: decoding (greedy, beams, truncated sampling)
 * and sampling from the posterior at inference time. All get the same limits and are counted in the same unit.
 */
import { UserError } from '../errors.ts'
import type { Lane } from '../models/lane.ts'
import type { Draws } from '../random.ts'
import type { Reward } from '../rewards/reward.ts'
import type { Latent } from '../sampling/latent.ts'
import type { Sampler } from '../sampling/sample.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { countForwardTokens } from './forward-tokens.ts'

/** A prompt, and the latents that are wanted for it. */
export type Query = {
  /** What is decoded, or proposed from: the model with its adapter and tool if it has them, within the limits of the latent. */
  sampler: Sampler
  tokenizer: Tokenizer
  prompt: readonly number[]
  /** The target is R^(1/T); methods that only decode do not look at it. */
  reward: Reward
  rewardTemperature: number
  /** N, the number of latents that are wanted. */
  samples: number
  /** The source of every draw: equal draws give equal answers. */
  draws: Draws
}

/** Latents for one prompt. */
export type Answer = {
  /** N latents, or as many as the method says, without ⊤. */
  latents: Latent[]
  /** [latents], log-probability of each, with ⊤, under the distribution that the method takes it from, nats. */
  logQ?: number[]
  /**
   * [latents], nats, where the latents are weighted: their mean weight is an unbiased estimate of Z = Σ R^(1/T), and
   * weighted means are consistent estimates of posterior expectations. −∞ for a latent of reward zero.
   */
  logWeights?: number[]
}

/** Tokens that went through the model's layers, under the sampler and the reference model together. */
export type Cost = { forwardTokens: number }

/** A method with its settings: one entry of a comparison. `Given` is the method's own kind of answer. */
export type InferenceMethod<Given extends Answer = Answer> = {
  name: string
  /** @throws UserError for a number of samples that the settings cannot give, before any work */
  run(lane: Lane, query: Query): Promise<Given & { cost: Cost }>
}

/** A method from a function of the query; its cost is counted here, alike for all. */
export const inferenceMethod = <Given extends Answer>(
  name: string,
  infer: (lane: Lane, query: Query) => Promise<Given>,
): InferenceMethod<Given> => ({
  name,
  async run(lane, query) {
    requireWhole('the number of samples', query.samples)
    const counted = countForwardTokens(lane)
    const answer = await infer(counted.lane, query)
    return { ...answer, cost: { forwardTokens: counted.forwardTokens() } }
  },
})

/** @throws UserError where a setting is no whole number of at least one */
export function requireWhole(setting: string, value: number): void {
  if (!Number.isInteger(value) || value < 1)
    throw new UserError({ what: `${setting} is ${value}`, where: 'baseline', fix: 'give a whole number of at least 1' })
}

/** @throws UserError where a setting is not above zero, or above its largest value */
export function requirePositive(setting: string, value: number, largest = Number.MAX_VALUE): void {
  if (value > 0 && value <= largest) return
  const upTo = largest < Number.MAX_VALUE ? ` of at most ${largest}` : ''
  throw new UserError({ what: `${setting} is ${value}`, where: 'baseline', fix: `give a number above 0${upTo}` })
}
