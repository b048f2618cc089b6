/** @file Turning weighted samples into equally many, or fewer, unweighted ones. */
import { logSumExp } from '../log-space.ts'

/**
 * Places of chosen samples, in their order: each occurs w·count / Σw times in the mean, and at most one more or less than
 * that (systematic resampling, Kitagawa 1996). None where every weight is zero.
 * @param logWeights  [samples], nats
 * @param uniform one number in [0, 1) moves the whole comb
 */
export function systematicResample(logWeights: ArrayLike<number>, count: number, uniform: number): number[] {
  const logTotal = logSumExp(logWeights)
  if (logTotal === -Infinity) return []
  const places: number[] = []
  let reached = 0
  let last = 0
  for (let i = 0; i < logWeights.length; i++) {
    if (logWeights[i] === -Infinity) continue
    last = i
    reached += count * Math.exp(logWeights[i] - logTotal)
    while (places.length < count && places.length + uniform < reached) places.push(i)
  }
  while (places.length < count) places.push(last) // the sum may fall short of `count` by its rounding
  return places
}

/** (Σw)² / Σw², between 1 and the number of samples; NaN where every weight is zero. */
export const effectiveSamples = (logWeights: ArrayLike<number>): number =>
  Math.exp(2 * logSumExp(logWeights) - logSumExp(Float64Array.from(logWeights, (value) => 2 * value)))
