/** @file A number estimated from samples, and how far from the truth it may be. */

export type Estimate = { value: number; standardError: number }

/** The mean of independent samples. The standard error is NaN for fewer than two, and the mean too for none. */
export function meanEstimate(samples: ArrayLike<number>): Estimate {
  const count = samples.length
  let sum = 0
  for (let i = 0; i < count; i++) sum += samples[i]
  const value = sum / count
  let squares = 0
  for (let i = 0; i < count; i++) squares += (samples[i] - value) ** 2
  return { value, standardError: count < 2 ? Number.NaN : Math.sqrt(squares / (count - 1) / count) }
}

/** The unbiased variance of independent samples; NaN for fewer than two. */
export const sampleVariance = (samples: ArrayLike<number>) => meanEstimate(samples).standardError ** 2 * samples.length
