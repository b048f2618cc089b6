/** @file The family of objectives by name. */
import { detailedBalance } from './detailed-balance.ts'
import { forwardKl } from './forward-kl.ts'
import { logPartitionVariance } from './log-partition-variance.ts'
import { maximumLikelihood } from './maximum-likelihood.ts'
import type { Objective } from './objective.ts'
import { rootedPrefixTrajectoryBalance } from './rooted-prefix-trajectory-balance.ts'
import { subtrajectoryBalance } from './subtrajectory-balance.ts'
import { trajectoryBalance } from './trajectory-balance.ts'

export const objectiveNames = [
  'subtrajectory-balance',
  'trajectory-balance',
  'log-partition-variance',
  'detailed-balance',
  'rooted-prefix-trajectory-balance',
  'forward-kl',
] as const
export type ObjectiveName = (typeof objectiveNames)[number]

/**
 * An objective as a config names it, or maximum likelihood, which is for latents that are given: of its own samples a policy
 * learns nothing by it. `lambda` matters to subtrajectory balance only.
 */
export type ObjectiveConfig = { name: ObjectiveName | 'maximum-likelihood'; lambda: number }

export function objectiveOf({ name, lambda }: ObjectiveConfig): Objective {
  const table: Record<ObjectiveConfig['name'], Objective> = {
    'subtrajectory-balance': subtrajectoryBalance(lambda),
    'trajectory-balance': trajectoryBalance,
    'log-partition-variance': logPartitionVariance,
    'detailed-balance': detailedBalance,
    'rooted-prefix-trajectory-balance': rootedPrefixTrajectoryBalance,
    'forward-kl': forwardKl,
    'maximum-likelihood': maximumLikelihood,
  }
  return table[name]
}

const ofWholeLatents: readonly ObjectiveConfig['name'][] = [
  'trajectory-balance',
  'log-partition-variance',
  'forward-kl',
  'maximum-likelihood',
]

/** Does an objective read the rewards of prefixes, or of whole latents only? */
export const readsPrefixes = (name: ObjectiveConfig['name']): boolean => !ofWholeLatents.includes(name)
