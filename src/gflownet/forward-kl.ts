/** @file Forward KL: maximum likelihood of sampled and replayed trajectories, weighted towards the posterior. */
import {
  constant,
  div,
  greaterOrEqual,
  log,
  logSumExp,
  reshape,
  sub,
  sumAll,
  sumLast,
  toFloat,
  where,
} from '../tensor/ops/index.ts'
import { atLeastOne, logPartitionEstimates, type Objective } from './objective.ts'

/** Stands for log 0; with −∞ the sum of exponentials would be NaN where no trajectory has ended. */
const LOG_ZERO = -1e30

/**
 * log mean exp(u_n) − mean u_n over the samples of a prompt, u_n the estimate of log Z(X) at each trajectory's end, nats.
 *
 * With w_n = exp(u_n) / Σ exp(u), the self-normalised importance weights R / q of the samples, its gradient is
 * −Σ_n (w_n − 1/N) ∇ log q(z_n ⊤): the maximum likelihood of the trajectories weighted by w, which follows the gradient of
 * KL(posterior ‖ q), less that of the same trajectories unweighted. The policy of today, with no gradient through the
 * weights, is the proposal in w: no behaviour policy has to be known. What is subtracted is zero on average for samples of
 * the policy itself (a control variate); for tempered and replayed ones it is what keeps the posterior a fixed point, since
 * wherever samples came from, all w_n are 1/N there. Never negative, by Jensen's inequality, and zero where all u_n agree.
 */
export const forwardKl: Objective = (logProbabilities) => {
  const { terminal } = logProbabilities
  const ended = sumLast(toFloat(terminal)) // [samples, 1], 0 for a trajectory whose end is no terminal state
  const u = sumLast(logPartitionEstimates(logProbabilities, terminal)) // [samples, 1]
  const count = sumAll(ended)
  const known = where(greaterOrEqual(ended, constant(1)), u, LOG_ZERO)
  const logSum = sumAll(logSumExp(reshape(known, [1, u.shape[0]])))
  const gap = sub(sub(logSum, log(atLeastOne(count))), div(sumAll(u), atLeastOne(count)))
  return where(greaterOrEqual(count, constant(1)), gap, 0)
}
