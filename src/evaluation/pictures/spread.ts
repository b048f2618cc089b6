/** @file Numbers of several seeds as a mean and how far they spread. */
import { sampleVariance } from '../estimate.ts'

/** A mean, and one standard deviation over seeds to either side; for a single seed all three are the same. */
export type Spread = { mean: number; low: number; high: number }

/** @param values  [seeds], finite */
export function spreadOf(values: readonly number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const deviation = values.length < 2 ? 0 : Math.sqrt(sampleVariance(values))
  return { mean, low: mean - deviation, high: mean + deviation }
}

/** The mean, and where there are several seeds the standard deviation, in so many decimals. */
export function spreadText(values: readonly number[], decimals: number): string {
  const { mean, high } = spreadOf(values)
  return values.length > 1 ? `${mean.toFixed(decimals)} ± ${(high - mean).toFixed(decimals)}` : mean.toFixed(decimals)
}

/** One run's values along something that all runs share: steps, seconds, a setting. */
export type Run = readonly { x: number; y: number }[]

/**
 * The spread over runs at every x that one of them has, in ascending order. Values that are no numbers are left out: a step
 * without a sample of the policy has no mean reward.
 */
export function spreadOverRuns(runs: readonly Run[]): ({ x: number } & Spread)[] {
  const at = new Map<number, number[]>()
  for (const { x, y } of runs.flat()) if (Number.isFinite(y)) at.set(x, [...(at.get(x) ?? []), y])
  return [...at].sort(([a], [b]) => a - b).map(([x, values]) => ({ x, ...spreadOf(values) }))
}

/** Each value replaced by the mean of the last `window` ones, itself among them: steps of few samples are noisy. */
export const smoothed = (run: Run, window: number): Run =>
  run.map(({ x }, i) => {
    const last = run.slice(Math.max(0, i + 1 - window), i + 1).filter(({ y }) => Number.isFinite(y))
    return { x, y: last.reduce((sum, { y }) => sum + y, 0) / last.length }
  })
