/** @file The paper's objective: modified subtrajectory balance. */
import {
  constant,
  div,
  exp,
  greaterOrEqual,
  mul,
  range,
  reshape,
  square,
  sub,
  sumAll,
  sumAxis,
  sumLast,
  toFloat,
  where,
} from '../tensor/ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { atLeastOne, logPartitionEstimates, meanOverPairs, type Objective } from './objective.ts'

/**
 * Modified subtrajectory balance (Hu et al. 2024, eq. 3): Σ_{i<j} λ^(j−i−1) (u_i − u_j)², over the pairs of prefixes of
 * each trajectory. As in the authors' code the sum over all trajectories is divided by the sum of all pair weights.
 * @param lambda  0 < λ ≤ 1; with 1 it costs O(length), otherwise O(length²)
 */
export function subtrajectoryBalance(lambda = 1): Objective {
  return (logProbabilities) => {
    const present = toFloat(logProbabilities.terminable)
    const u = logPartitionEstimates(logProbabilities, logProbabilities.terminable)
    const { sum, weight } = lambda === 1 ? allPairs(u, present) : weightedPairs(u, present, lambda)
    return meanOverPairs({ sum: sumAll(sum), weight: sumAll(weight) }, u, logProbabilities)
  }
}

/** λ = 1 by Σ_{i<j}(u_i − u_j)² = m · Σ_i (u_i − ū)² for m prefixes. → sum and weight [samples, 1] */
export function allPairs(u: Tensor, present: Tensor): { sum: Tensor; weight: Tensor } {
  const count = sumLast(present)
  const deviation = mul(present, sub(u, div(sumLast(u), atLeastOne(count))))
  return { sum: mul(count, sumLast(square(deviation))), weight: mul(mul(count, sub(count, 1)), 0.5) }
}

/** Any λ, pair by pair. → sum and weight [samples, 1] */
export function weightedPairs(u: Tensor, present: Tensor, lambda: number): { sum: Tensor; weight: Tensor } {
  const [samples, prefixes] = u.shape
  const row = (x: Tensor) => reshape(x, [samples, prefixes, 1])
  const column = (x: Tensor) => reshape(x, [samples, 1, prefixes])
  const index = toFloat(range(prefixes))
  const gap = sub(reshape(index, [1, prefixes]), reshape(index, [prefixes, 1])) // j − i
  const decay = where(greaterOrEqual(gap, constant(1)), exp(mul(sub(gap, 1), Math.log(lambda))), 0)
  const weight = mul(mul(row(present), column(present)), decay) // [samples, prefixes, prefixes]
  const perSample = (x: Tensor) => reshape(sumAxis(sumAxis(x, 2), 1), [samples, 1])
  return { sum: perSample(mul(weight, square(sub(row(u), column(u))))), weight: perSample(weight) }
}
