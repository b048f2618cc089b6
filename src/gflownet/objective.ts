/**
 * @file What an objective is: a pure function of what is known at every prefix of every sample of one prompt. Notation of
 * the paper, section 3: S_i = Σ_{k≤i} log q(z_k | X, z_<k), and u_i = log R(z_1..z_i ⊤) − log q(⊤ | X, z_1..z_i) − S_i,
 * which is each prefix's own estimate of log Z(X); training asks the estimates to agree.
 */
import { add, constant, div, greaterOrEqual, mul, square, sub, sumAll, toFloat, where } from '../tensor/ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'

export type PrefixLogProbabilities = {
  /** log R of the prefix at today's temperature, [samples, prefixes], nats; any finite value where not terminable. */
  logReward: Tensor
  /** log q(⊤ | X, prefix), [samples, prefixes]. */
  logStop: Tensor
  /** log q(prefix | X) = S_i, [samples, prefixes]. */
  logPrefix: Tensor
  /** Terminal states of the trajectory, [samples, prefixes] yes/no; false after its end and where ⊤ is impossible. */
  terminable: Tensor
  /**
   * What each of them counts for, [samples, prefixes]: 1 over the probability with which its reward was asked for, 0 where it was
   * not. A sum over prefixes, or over pairs of them with the product of both, is then on average the sum over all.
   */
  weight: Tensor
  /** The one prefix at which the trajectory ended, [samples, prefixes] yes/no. */
  terminal: Tensor
  /** Is the empty latent a terminal state, so that all trajectories of the prompt share their first estimate? */
  rootTerminable: boolean
  /** The learned log Z(X) of trajectory balance and its rooted-prefix form, scalar. */
  logPartition: Tensor
}

/** From log-probabilities to a scalar loss: nats² for squared differences of log Z estimates, nats for a divergence. */
export type Objective = (logProbabilities: PrefixLogProbabilities) => Tensor

/** u_i, each prefix's estimate of log Z(X), [samples, prefixes]; zero (and without gradient) where not `at`. */
export const logPartitionEstimates = ({ logReward, logStop, logPrefix }: PrefixLogProbabilities, at: Tensor): Tensor =>
  where(at, sub(sub(logReward, logStop), logPrefix), 0)

/** The estimates of the prefixes whose rewards are known, and zero elsewhere, [samples, prefixes]. */
export const knownEstimates = (logProbabilities: PrefixLogProbabilities): Tensor =>
  logPartitionEstimates(logProbabilities, greaterOrEqual(logProbabilities.weight, constant(1)))

/** A count to divide by: 1 where there is nothing to count. */
export const atLeastOne = (count: Tensor): Tensor => where(greaterOrEqual(count, constant(1)), count, 1)

/**
 * The mean of squared differences over the pairs of prefixes of all trajectories. The pairs of a trajectory meet those of
 * others in the empty prefix, which all share. Where the empty latent is not allowed, the mean estimate of the prompt's
 * samples takes its place, one pair for every prefix: without it nothing would compare first tokens.
 * @param pairs weighted sum of the squares, and of the weights of all pairs, scalars
 * @param u  [samples, prefixes], zero where not known
 */
export function meanOverPairs(
  { sum, weight }: { sum: Tensor; weight: Tensor },
  u: Tensor,
  { terminable, weight: known, rootTerminable }: PrefixLogProbabilities,
): Tensor {
  if (rootTerminable) return div(sum, atLeastOne(weight))
  const mean = div(sumAll(mul(known, u)), atLeastOne(sumAll(known)))
  const withMean = sumAll(mul(known, square(sub(u, mean))))
  return div(add(sum, withMean), atLeastOne(add(weight, sumAll(toFloat(terminable)))))
}
