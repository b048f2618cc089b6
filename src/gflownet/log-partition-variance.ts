/** @file The variance form of trajectory balance (VarGrad, Richter et al. 2020): no log Z to learn. */
import { div, square, sub, sumAll, toFloat, where } from '../tensor/ops/index.ts'
import { atLeastOne, logPartitionEstimates, type Objective } from './objective.ts'

/** Variance over the samples of a prompt of u_n, each trajectory's estimate of log Z(X). */
export const logPartitionVariance: Objective = (logProbabilities) => {
  const { terminal } = logProbabilities
  const u = logPartitionEstimates(logProbabilities, terminal)
  const samples = atLeastOne(sumAll(toFloat(terminal)))
  return div(sumAll(square(where(terminal, sub(u, div(sumAll(u), samples)), 0))), samples)
}
