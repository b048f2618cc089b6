/** @file How likely samples are, under the policy or under the base model. */
import { type Estimate, meanEstimate } from './estimate.ts'

export type LikelihoodSummary = {
  /** Mean log-likelihood of a sample, nats. */
  mean: Estimate
  /** That of the likeliest sample, nats. */
  best: number
  /** All log-likelihood over all tokens, nats: long samples count for more, as in a perplexity. */
  perToken: number
}

/**
 * @param logLikelihoods  [samples], nats, each of a whole latent with its ⊤
 * @param lengths         [samples], tokens of each latent without ⊤, which is counted here
 */
export function summariseLikelihood(samples: {
  logLikelihoods: readonly number[]
  lengths: readonly number[]
}): LikelihoodSummary {
  const tokens = samples.lengths.reduce((sum, length) => sum + length + 1, 0)
  const total = samples.logLikelihoods.reduce((sum, logLikelihood) => sum + logLikelihood, 0)
  return {
    mean: meanEstimate(samples.logLikelihoods),
    best: samples.logLikelihoods.reduce((a, b) => Math.max(a, b), -Infinity),
    perToken: total / tokens,
  }
}
