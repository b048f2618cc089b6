/** @file The terms of PPO's loss (Schulman et al. 2017) as graphs over the grid of actions, means over the actions there are. */
import { add, constant, div, exp, less, mul, neg, square, sub, sumAll, toFloat, where } from '../tensor/ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** All [samples, states]; what stands in cells that are no action has no part in anything. */
export type ActionGrids = {
  /** Is there an action in this cell? */
  acting: Tensor
  /** Its log-probability under the policy, and under the one that sampled it. */
  logQ: Tensor
  oldLogQ: Tensor
  advantages: Tensor
}

/**
 * The clipped surrogate, −mean min(ρ A, clip(ρ, 1 − c, 1 + c) A) with ρ = q / q_old; the fraction of actions whose ρ is outside;
 * and how far the policy has moved: KL(q_old ‖ q) an action, estimated by mean (ρ − 1 − log ρ), which is never negative.
 */
export function surrogate({ acting, logQ, oldLogQ, advantages }: ActionGrids, clip: number) {
  const logRatio = where(acting, sub(logQ, oldLogQ), 0)
  const ratio = exp(logRatio)
  const followed = mul(ratio, advantages)
  const clipped = mul(between(ratio, constant(1 - clip), constant(1 + clip)), advantages)
  const outside = where(less(ratio, constant(1 - clip)), 1, toFloat(less(constant(1 + clip), ratio)))
  return {
    loss: neg(meanOf(lesser(followed, clipped), acting)),
    clipFraction: meanOf(outside, acting),
    policyKl: meanOf(sub(sub(ratio, 1), logRatio), acting),
  }
}

/** ½ mean max((V − return)², (V_old + clip(V − V_old, ±c) − return)²): no value is moved further than c at once. */
export function valueLoss(
  { acting, values, oldValues, returns }: Record<'acting' | 'values' | 'oldValues' | 'returns', Tensor>,
  clip: number,
): Tensor {
  const near = between(values, sub(oldValues, clip), add(oldValues, clip))
  const [free, bound] = [values, near].map((value) => square(sub(value, returns)))
  return mul(meanOf(greater(free, bound), acting), 0.5)
}

const lesser = (a: Tensor, b: Tensor) => where(less(a, b), a, b)
const greater = (a: Tensor, b: Tensor) => where(less(a, b), b, a)
const between = (x: Tensor, low: Tensor, high: Tensor) => lesser(greater(x, low), high)
const meanOf = (x: Tensor, at: Tensor) => div(sumAll(where(at, x, 0)), sumAll(toFloat(at)))
