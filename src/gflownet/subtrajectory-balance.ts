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
import { atLeastOne, knownEstimates, meanOverPairs, type Objective, type PrefixLogProbabilities } from './objective.ts'

/**
 * Modified subtrajectory balance (Hu et al. 2024, eq. 3): Σ_{i<j} λ^(j−i−1) (u_i − u_j)², over the pairs of prefixes of
 * each trajectory. As in the authors' code the sum over all trajectories is divided by the sum of all pair weights.
 * @param lambda  0 < λ ≤ 1; with 1 it costs O(length), otherwise O(length²)
 */
export function subtrajectoryBalance(lambda = 1): Objective {
  return (logProbabilities) => {
    const u = knownEstimates(logProbabilities)
    const { sum, weight } = lambda === 1 ? allPairs(u, logProbabilities) : decayedPairs(u, logProbabilities, lambda)
    return meanOverPairs({ sum: sumAll(sum), weight: sumAll(weight) }, u, logProbabilities)
  }
}

type Known = Pick<PrefixLogProbabilities, 'weight' | 'terminable'>

/** λ = 1 by Σ_{i<j} w_i w_j (u_i − u_j)² = W · Σ_i w_i (u_i − ū)², W = Σ w. → sum, and number of all pairs, [samples, 1] */
export function allPairs(u: Tensor, { weight, terminable }: Known): { sum: Tensor; weight: Tensor } {
  const total = sumLast(weight)
  const mean = div(sumLast(mul(weight, u)), atLeastOne(total))
  const count = sumLast(toFloat(terminable))
  return { sum: mul(total, sumLast(mul(weight, square(sub(u, mean))))), weight: mul(mul(count, sub(count, 1)), 0.5) }
}

/** Any λ, pair by pair. → sum, and weight of all pairs, [samples, 1] */
export function decayedPairs(
  u: Tensor,
  { weight, terminable }: Known,
  lambda: number,
): { sum: Tensor; weight: Tensor } {
  const [samples, prefixes] = u.shape
  const row = (x: Tensor) => reshape(x, [samples, prefixes, 1])
  const column = (x: Tensor) => reshape(x, [samples, 1, prefixes])
  const index = toFloat(range(prefixes))
  const gap = sub(reshape(index, [1, prefixes]), reshape(index, [prefixes, 1])) // j − i
  const decay = where(greaterOrEqual(gap, constant(1)), exp(mul(sub(gap, 1), Math.log(lambda))), 0)
  const pairs = (x: Tensor) => mul(mul(row(x), column(x)), decay) // [samples, prefixes, prefixes]
  const perSample = (x: Tensor) => reshape(sumAxis(sumAxis(x, 2), 1), [samples, 1])
  return {
    sum: perSample(mul(pairs(weight), square(sub(row(u), column(u))))),
    weight: perSample(pairs(toFloat(terminable))),
  }
}
