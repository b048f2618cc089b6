/** @file The family of objectives by name. */
import { detailedBalance } from './detailed-balance.ts'
import { logPartitionVariance } from './log-partition-variance.ts'
import type { Objective } from './objective.ts'
import { subtrajectoryBalance } from './subtrajectory-balance.ts'
import { trajectoryBalance } from './trajectory-balance.ts'

export const objectiveNames = [
  'subtrajectory-balance',
  'trajectory-balance',
  'log-partition-variance',
  'detailed-balance',
] as const
export type ObjectiveName = (typeof objectiveNames)[number]

/** An objective as a config names it. `lambda` matters to subtrajectory balance only. */
export type ObjectiveConfig = { name: ObjectiveName; lambda: number }

export function objectiveOf({ name, lambda }: ObjectiveConfig): Objective {
  const table: Record<ObjectiveName, Objective> = {
    'subtrajectory-balance': subtrajectoryBalance(lambda),
    'trajectory-balance': trajectoryBalance,
    'log-partition-variance': logPartitionVariance,
    'detailed-balance': detailedBalance,
  }
  return table[name]
}
