/**
 * @file Overlap: while a step learns, on one lane, the latents of the next one are sampled and scored, on another, by the policy before
 * the update. Where the method is off-policy that changes no fixed point; its price is that what is learned from is one update old (docs/performance.md).
 */
import { UserError } from '../errors.ts'
import type { Lanes } from '../models/lane.ts'
import type { TrainingConfig } from './config.ts'
import type { Warning } from './events.ts'
import { methodOf } from './methods/index.ts'

/** @throws UserError where what is learned would be wrong with latents of an earlier policy */
export function refuseOverlap({ overlap, method }: TrainingConfig): void {
  if (overlap && !methodOf(method).offPolicy)
    throw new UserError({
      what: `overlap is on, but the method ${method} learns from samples of the policy as it is, or from none`,
      where: 'config',
      fix: 'leave overlap off',
    })
}

/** It changes what is learned from wherever it is on, and saves time where there is a lane for each part. */
export const warnOfOneLane = ({ overlap }: TrainingConfig, { count }: Lanes): Warning | undefined =>
  overlap && count === 1
    ? {
        what: 'overlap is on, and there is one lane: nothing runs side by side',
        fix: 'give two (--lanes 2), each with half of the threads and its own copy of the weights, or leave overlap off',
      }
    : undefined
