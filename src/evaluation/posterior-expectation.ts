/**
 * @file What importance weights make of samples: expectations under the posterior, and samples that are drawn from it again.
 * Both are exact in the limit of many samples, whatever the sampler; with few, or with a Pareto k̂ above 0.7, they lean on
 * the largest weights (`pareto-smoothing.ts` gives log weights that are steadier, and may be given here instead).
 */
import type { Draws } from '../random.ts'
import { normaliseLog } from './divergence.ts'
import type { Estimate } from './estimate.ts'

/** Each sample's share of the posterior, [samples], sums to 1. @throws Error where every weight is zero */
export const normalisedWeights = (logWeights: ArrayLike<number>): Float64Array => normaliseLog(logWeights).map(Math.exp)

/**
 * The mean of a quantity under the posterior, Σ w f / Σ w. The standard error is first order (the delta method), and
 * counts the weights of the samples as well as the spread of their values.
 * @param logWeights  [samples], nats; of one sampler or of a mixture (`log-partition.ts`)
 * @param values      [samples], f of each sample
 */
export function posteriorMean(logWeights: ArrayLike<number>, values: ArrayLike<number>): Estimate {
  if (logWeights.length !== values.length)
    throw new Error(`${logWeights.length} weights for ${values.length} values cannot be right`)
  const weights = normalisedWeights(logWeights)
  // A sample of weight zero says nothing, though its value be infinite.
  const sumOf = (term: (weight: number, sample: number) => number) =>
    weights.reduce((sum, weight, sample) => (weight === 0 ? sum : sum + term(weight, sample)), 0)
  const value = sumOf((weight, sample) => weight * values[sample])
  const variance = sumOf((weight, sample) => (weight * (values[sample] - value)) ** 2)
  return { value, standardError: weights.length < 2 ? Number.NaN : Math.sqrt(variance) }
}

/**
 * Indices of samples drawn in proportion to their weights: with what they index, draws from the posterior (sampling,
 * importance, resampling). The draw is systematic: sample i is drawn ⌊n w_i⌋ or ⌈n w_i⌉ times, which adds the least noise.
 * @param count n, how many to draw; far fewer than the samples, or the largest weights come again and again
 * @returns [count], ascending
 */
export function resample(logWeights: ArrayLike<number>, count: number, draws: Draws): number[] {
  const weights = normalisedWeights(logWeights)
  const first = draws.uniform()
  const last = weights.findLastIndex((weight) => weight > 0) // what rounding leaves over goes to no weight of zero
  const drawn: number[] = []
  let [sample, cumulative] = [0, weights[0]]
  for (let i = 0; i < count; i++) {
    while (sample < last && cumulative <= (first + i) / count) cumulative += weights[++sample]
    drawn.push(sample)
  }
  return drawn
}
