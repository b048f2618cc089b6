/** @file Rooted-prefix trajectory balance: every prefix of a trajectory is a trajectory of its own, from the root. */
import { div, mul, square, sub, sumAll, toFloat } from '../tensor/ops/index.ts'
import { atLeastOne, knownEstimates, type Objective } from './objective.ts'

/**
 * Mean over all prefixes of all samples that may end of (u_i − log Z(X))²: trajectory balance for each of the
 * subtrajectories that begin at the root, O(length) constraints where subtrajectory balance has O(length²). Moves log Z(X)
 * as well.
 *
 * It follows the idea in the name of RapTB (rooted absorbed prefix trajectory balance, Wang et al. 2026, arXiv 2603.00454), of
 * which no more than the abstract was at hand: supervision of prefixes is anchored at the root. That paper also replaces the
 * rewards of prefixes by targets absorbed from what follows them. That is not done here: log R is known at every prefix, and
 * with another target than log R a constraint does not hold at the posterior.
 */
export const rootedPrefixTrajectoryBalance: Objective = (logProbabilities) => {
  const { terminable, weight, logPartition } = logProbabilities
  const squares = mul(weight, square(sub(knownEstimates(logProbabilities), logPartition)))
  return div(sumAll(squares), atLeastOne(sumAll(toFloat(terminable))))
}
