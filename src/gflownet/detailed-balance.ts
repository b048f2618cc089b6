/** @file Modified detailed balance (Deleu et al. 2022): neighbouring prefixes only. */
import {
  add,
  constant,
  div,
  greaterOrEqual,
  less,
  matmul,
  mul,
  range,
  reshape,
  square,
  sub,
  sumAll,
  toFloat,
} from '../tensor/ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { atLeastOne, logPartitionEstimates, type Objective } from './objective.ts'
import { pairsWithMean } from './subtrajectory-balance.ts'

/** Σ (u_{i+1} − u_i)² over neighbouring terminal states, divided by their number. */
export const detailedBalance: Objective = (logProbabilities) => {
  const present = toFloat(logProbabilities.terminable)
  const u = logPartitionEstimates(logProbabilities, logProbabilities.terminable)
  const both = mul(present, next(present))
  const [sum, weight] = [sumAll(mul(both, square(sub(next(u), u)))), sumAll(both)]
  if (logProbabilities.rootTerminable) return div(sum, atLeastOne(weight))
  const root = pairsWithMean(u, present)
  return div(add(sum, root.sum), atLeastOne(add(weight, root.weight)))
}

/** Each prefix's successor: [samples, prefixes] moved one to the left, zero at the end. */
function next(x: Tensor): Tensor {
  const prefixes = x.shape[1]
  const index = toFloat(range(prefixes))
  const [from, to] = [reshape(index, [prefixes, 1]), reshape(index, [1, prefixes])]
  const distance = sub(from, to)
  return matmul(x, mul(toFloat(greaterOrEqual(distance, constant(1))), toFloat(less(distance, constant(2)))))
}
