/** @file Trajectory balance (Malkin et al. 2022): the whole trajectory against a learned log Z(X). */
import { div, square, sub, sumAll, toFloat, where } from '../tensor/ops/index.ts'
import { atLeastOne, logPartitionEstimates, type Objective } from './objective.ts'

/** Mean over samples of (u_n − log Z(X))², u_n the estimate at the trajectory's end. Moves log Z(X) as well. */
export const trajectoryBalance: Objective = (logProbabilities) => {
  const { terminal, logPartition } = logProbabilities
  const residual = where(terminal, sub(logPartitionEstimates(logProbabilities, terminal), logPartition), 0)
  return div(sumAll(square(residual)), atLeastOne(sumAll(toFloat(terminal))))
}
