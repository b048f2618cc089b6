/**
 * @file Are importance weights to be trusted? Pareto-smoothed importance sampling (Vehtari et al. 2024, JMLR 25(72)).
 * A generalized Pareto distribution is fitted to the largest weights; its shape k̂ says how heavy their tail is.
 */
import { fitGeneralizedPareto, paretoQuantile } from './generalized-pareto.ts'

/** Below it estimates are reliable; above it neither a mean of the weights nor its standard error is to be trusted. */
export const TRUSTED_PARETO_K = 0.7

/** Fewer weights than that say nothing about a tail. */
const MIN_TAIL = 5

export type ParetoSmoothed = {
  /** [samples], the given log weights with those of the tail replaced: more stable, and slightly biased. */
  logWeights: Float64Array
  /** k̂; undefined where the tail has fewer than five distinct weights (20 samples or fewer, or all weights equal). */
  paretoK: number | undefined
}

/**
 * Fits the min(n/5, 3√n) largest weights, and replaces the j-th of M by the (j − 1/2)/M quantile of the fit, but by
 * nothing larger than the largest weight.
 * @param logWeights  [samples], nats, of independent samples; −Infinity for a reward of zero
 */
export function paretoSmoothed(logWeights: ArrayLike<number>): ParetoSmoothed {
  const smoothed = Float64Array.from(logWeights)
  const tail = tailOf(smoothed)
  if (!tail) return { logWeights: smoothed, paretoK: undefined }

  const { samples, largest, threshold } = tail
  const exceedances = Float64Array.from(samples, (sample) => Math.exp(smoothed[sample] - largest) - threshold)
  const fit = fitGeneralizedPareto(exceedances)
  if (!Number.isFinite(fit.shape)) return { logWeights: smoothed, paretoK: undefined }

  for (const [j, sample] of samples.entries()) {
    const quantile = paretoQuantile(fit, (j + 0.5) / samples.length)
    smoothed[sample] = largest + Math.min(0, Math.log(threshold + quantile))
  }
  return { logWeights: smoothed, paretoK: fit.shape }
}

/** The samples of the tail in ascending order of weight, and the weight below them, as a fraction of the largest. */
function tailOf(logWeights: Float64Array) {
  const count = logWeights.length
  const size = Math.ceil(Math.min(count / 5, 3 * Math.sqrt(count)))
  if (size < MIN_TAIL) return undefined
  const ascending = Array.from(logWeights.keys()).sort((a, b) => logWeights[a] - logWeights[b])
  const largest = logWeights[ascending[count - 1]]
  const threshold = Math.exp(logWeights[ascending[count - size - 1]] - largest)
  const samples = ascending.slice(count - size).filter((sample) => Math.exp(logWeights[sample] - largest) > threshold)
  return samples.length < MIN_TAIL ? undefined : { samples, largest, threshold }
}
