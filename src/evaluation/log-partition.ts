/**
 * @file log Z from samples. A sampler that knows its own log q gives each sample Z an importance weight w = R(Z) / q(Z);
 * the mean weight is an unbiased estimate of Z = Σ R, however well or badly the sampler was trained.
 *
 * A sample of reward zero has weight zero: it counts as a sample and adds nothing. log of an unbiased estimate is biased:
 * log Ẑ lies below log Z by half its squared standard error, to first order. All standard errors here are first order (the
 * delta method) and themselves estimated from the weights: where these are heavy-tailed they come out too small, and
 * `pareto-smoothing.ts` tells.
 */
import { logMeanExp, logSumExp } from '../log-space.ts'
import { type Estimate, meanEstimate } from './estimate.ts'

export type LogPartition = {
  logZ: Estimate
  samples: number
  /** (Σw)² / Σw²: how many samples of the posterior itself would be worth as much; 0 where all weights are zero. */
  effectiveSamples: number
  /** `effectiveSamples / samples`: 1 for a perfect sampler. */
  effectiveFraction: number
}

/**
 * log R − log q of samples of one sampler.
 * @param logReward   [samples], untempered or not: log Z is that of the given reward
 * @param logSampler  [samples], log q of the whole latent with its ⊤; finite, since it was sampled
 */
export const logWeights = (samples: { logReward: ArrayLike<number>; logSampler: ArrayLike<number> }) =>
  Float64Array.from(samples.logReward, (logReward, sample) => logReward - samples.logSampler[sample])

/**
 * log weights of samples of several samplers together, each weighted by the mixture that they all are:
 * w = R / Σ_k (n_k / n) q_k (the balance heuristic, Veach and Guibas 1995). The mean weight is an unbiased estimate of Z
 * when sampler k gave n_k of the samples, and a latent that one sampler misses is in the care of the others.
 * @param logReward    [samples], in any order
 * @param logSamplers  [samplers][samples]: log q_k of *every* sample, also of those that another sampler gave
 * @param counts       [samplers]: n_k, the number of samples that sampler k gave
 * @throws Error where the counts do not add up to the samples
 */
export function mixtureLogWeights({
  logReward,
  logSamplers,
  counts,
}: {
  logReward: ArrayLike<number>
  logSamplers: readonly ArrayLike<number>[]
  counts: readonly number[]
}): Float64Array {
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total !== logReward.length)
    throw new Error(`counts add up to ${total}, but there are ${logReward.length} samples`)
  const logFractions = counts.map((count) => Math.log(count / total))
  return Float64Array.from(logReward, (logReward, sample) => {
    const logMixture = logSumExp(logSamplers.map((logSampler, k) => logFractions[k] + logSampler[sample]))
    return logReward - logMixture
  })
}

/**
 * log Z = log of the mean weight, with the standard error of the mean weight over the mean weight.
 * The weights of a mixture are treated as independent draws from it; that each sampler gave a fixed number of them only
 * makes the truth a little better than the standard error says.
 * @param logWeights  [samples], nats; −Infinity for a reward of zero. If all are, log Z is −Infinity and its error NaN
 */
export function estimateLogPartition(logWeights: ArrayLike<number>): LogPartition {
  const samples = logWeights.length
  const logZ = logMeanExp(logWeights)
  if (logZ === -Infinity)
    return { logZ: { value: logZ, standardError: Number.NaN }, samples, effectiveSamples: 0, effectiveFraction: 0 }
  const relative = relativeWeights(logWeights, logZ)
  const squares = relative.reduce((sum, weight) => sum + weight * weight, 0)
  const effectiveSamples = samples ** 2 / squares
  return {
    logZ: { value: logZ, standardError: meanEstimate(relative).standardError },
    samples,
    effectiveSamples,
    effectiveFraction: effectiveSamples / samples,
  }
}

/**
 * KL(q ‖ posterior) = mean over samples of q of (log q − log R) + log Z, in nats.
 *
 * Without `logZ` both terms come from the same samples, and the standard error is that of their sum (they are correlated:
 * sample i contributes −log w_i + w_i / w̄). Such an estimate is never negative, and too low where the sampler
 * misses part of the posterior, since then log Ẑ is. A `logZ` from other samples (a mixture, an enumeration with error 0) is
 * independent, and the two errors add in squares.
 *
 * A sample of reward zero makes the divergence infinite, with error NaN.
 * @param logWeights  [samples] of q alone, not of a mixture
 */
export function klToPosterior(logWeights: ArrayLike<number>, logZ?: Estimate): Estimate {
  const excess = Float64Array.from(logWeights, (logWeight) => -logWeight)
  if (excess.includes(Infinity)) return { value: Infinity, standardError: Number.NaN }
  const mean = meanEstimate(excess)
  if (logZ) {
    const standardError = Math.hypot(mean.standardError, logZ.standardError)
    return { value: mean.value + logZ.value, standardError }
  }
  const ownLogZ = logMeanExp(logWeights)
  const contributions = relativeWeights(logWeights, ownLogZ).map((weight, sample) => excess[sample] + weight)
  return { value: mean.value + ownLogZ, standardError: meanEstimate(contributions).standardError }
}

/** w / mean w. */
const relativeWeights = (logWeights: ArrayLike<number>, logMean: number) =>
  Float64Array.from(logWeights, (logWeight) => Math.exp(logWeight - logMean))
