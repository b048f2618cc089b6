/** @file Modified detailed balance (Deleu et al. 2022): neighbouring prefixes only. */
import {
  constant,
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
import { knownEstimates, meanOverPairs, type Objective } from './objective.ts'

/** Σ (u_{i+1} − u_i)² over neighbouring terminal states, divided by their number. */
export const detailedBalance: Objective = (logProbabilities) => {
  const u = knownEstimates(logProbabilities)
  const both = (x: Tensor) => mul(x, next(x))
  const sum = sumAll(mul(both(logProbabilities.weight), square(sub(next(u), u))))
  const pairs = { sum, weight: sumAll(both(toFloat(logProbabilities.terminable))) }
  return meanOverPairs(pairs, u, logProbabilities)
}

/** Each prefix's successor: [samples, prefixes] moved one to the left, zero at the end. */
function next(x: Tensor): Tensor {
  const prefixes = x.shape[1]
  const index = toFloat(range(prefixes))
  const [from, to] = [reshape(index, [prefixes, 1]), reshape(index, [1, prefixes])]
  const distance = sub(from, to)
  return matmul(x, mul(toFloat(greaterOrEqual(distance, constant(1))), toFloat(less(distance, constant(2)))))
}
