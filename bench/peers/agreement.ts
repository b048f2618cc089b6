/** @file Do two contestants compute the same? The tokens of a step are fixed, so that its loss, rewards and gradients are, too. */
import type { Taken } from './contestant.ts'

/** Float32 on both sides, summed in other orders. Half-precision peers are told apart and not held to it. */
export const TOLERANCE = 1e-3

/** Relative differences; of the rewards the largest. */
export type Difference = { loss: number; gradientNorm: number; logRewards: number; rewards: number }

export function differenceOf(ours: Taken, theirs: Taken): Difference {
  const [own, other] = [ours.logRewards.flat(), theirs.logRewards.flat()]
  if (own.length !== other.length) throw new Error(`${own.length} rewards of ours, ${other.length} of the peer`)
  return {
    loss: relative(ours.loss, theirs.loss),
    gradientNorm: relative(ours.gradientNorm, theirs.gradientNorm),
    logRewards: own.reduce((worst, value, i) => Math.max(worst, relative(value, other[i])), 0),
    rewards: own.length,
  }
}

/** The worst of several steps, over all their rewards. */
export const worstOf = (differences: readonly Difference[]): Difference =>
  differences.reduce((worst, difference) => ({
    loss: Math.max(worst.loss, difference.loss),
    gradientNorm: Math.max(worst.gradientNorm, difference.gradientNorm),
    logRewards: Math.max(worst.logRewards, difference.logRewards),
    rewards: worst.rewards + difference.rewards,
  }))

export const isAlike = ({ loss, gradientNorm, logRewards }: Difference) =>
  [loss, gradientNorm, logRewards].every((difference) => difference <= TOLERANCE)

/** NaN is no difference that `Math.max` would lose: it becomes infinite. */
function relative(a: number, b: number): number {
  const difference = Math.abs(a - b) / Math.max(Math.abs(a), Math.abs(b), Number.MIN_VALUE)
  return Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference
}
