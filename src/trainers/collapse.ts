/**
 * @file Watches the first token of latents: where the policy has found a few good beginnings and forgets the others, its
 * entropy falls long before anything else shows it.
 */
import type { Warning } from './events.ts'

/** Entropies of the policy's first token, nats: at the beginning of the run and lately. Plain data, part of a run's state. */
export type FirstTokenWatch = {
  /** Steps in which it could be estimated. */
  steps: number
  /** Mean over the first steps. */
  early: number
  /** Mean over the latest ones, older ones fading out. */
  lately: number
  warned: boolean
}

export const unwatched: FirstTokenWatch = { steps: 0, early: 0, lately: 0, warned: false }

/** Steps that make up the beginning, and about the memory of what is called lately. */
const STEPS = 20

/**
 * The watch after one more step, and the warning where the entropy has just fallen below `fraction` of what it was; a run
 * is warned once.
 * @param entropy  of this step's first tokens, nats: an estimate; NaN where there is none
 */
export function watchFirstToken(
  watch: FirstTokenWatch,
  entropy: number,
  fraction: number,
): { watch: FirstTokenWatch; warning?: Warning } {
  if (!Number.isFinite(entropy)) return { watch }
  const steps = watch.steps + 1
  const part = 1 / Math.min(steps, STEPS)
  const lately = watch.lately + (entropy - watch.lately) * part
  const early = steps <= STEPS ? lately : watch.early
  const collapsed = steps > STEPS && lately < fraction * early
  const next = { steps, early, lately, warned: watch.warned || collapsed }
  if (watch.warned || !collapsed) return { watch: next }
  const warning = {
    what: `latents begin more and more alike: the entropy of their first token fell from ${early.toFixed(2)} to ${lately.toFixed(2)} nats`,
    fix: 'if the target is more diverse than that, raise sources.tempered and rewardTemperature.from, or lower optimizer.learningRate',
  }
  return { watch: next, warning }
}
