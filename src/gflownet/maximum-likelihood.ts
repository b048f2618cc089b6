/** @file Maximum likelihood: what supervised fine-tuning minimises. It reads no reward. */
import { add, div, mul, sumAll, toFloat, where } from '../tensor/ops/index.ts'
import { atLeastOne, type Objective } from './objective.ts'

/** −mean over trajectories of log q(z_1..z_n ⊤ | X), nats: the cross-entropy of the given latents, token losses summed. */
export const maximumLikelihood: Objective = ({ logPrefix, logStop, terminal }) => {
  const logQ = where(terminal, add(logPrefix, logStop), 0)
  return mul(div(sumAll(logQ), atLeastOne(sumAll(toFloat(terminal)))), -1)
}
