/** @file The learned log Z(X) of trajectory balance: one number for each prompt, with an Adam state of its own. */
import type { LearnedPartition } from './state.ts'

const BETAS = [0.9, 0.99] as const
const EPSILON = 1e-8

/** Where nothing is known yet the loss would begin with (log Z)²; the first batch's mean residual is a better start. */
export function learnPartition(known: LearnedPartition | undefined, gradient: number, rate: number): LearnedPartition {
  // The loss is the mean of (u − log Z)², so a batch's gradient is 2·(log Z − mean u): half of it leads to the mean.
  if (!known) return { value: -gradient / 2, step: 0, first: 0, second: 0 }
  const step = known.step + 1
  const first = BETAS[0] * known.first + (1 - BETAS[0]) * gradient
  const second = BETAS[1] * known.second + (1 - BETAS[1]) * gradient ** 2
  const move = first / (1 - BETAS[0] ** step) / (Math.sqrt(second / (1 - BETAS[1] ** step)) + EPSILON)
  return { value: known.value - rate * move, step, first, second }
}
