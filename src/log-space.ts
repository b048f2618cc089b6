/** @file Sums of numbers that are only known by their logarithms. */

/** log Σ exp(v), shifted by the largest so that nothing overflows. −Infinity for no values; NaN if one of them is NaN. */
export function logSumExp(values: ArrayLike<number>): number {
  let largest = -Infinity
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, values[i])
  if (!Number.isFinite(largest)) return largest // shifting by an infinity would give NaN
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += Math.exp(values[i] - largest)
  return largest + Math.log(sum)
}

/** log of the mean of exp(v). NaN for no values, as the mean of nothing is. */
export const logMeanExp = (values: ArrayLike<number>) =>
  values.length === 0 ? Number.NaN : logSumExp(values) - Math.log(values.length)

/** log(eᵃ + eᵇ). */
export function logAddExp(a: number, b: number): number {
  const larger = Math.max(a, b)
  return Number.isFinite(larger) ? larger + Math.log1p(Math.exp(Math.min(a, b) - larger)) : larger
}
