/** @file The few statistics of repeated measurements. */

/** The middle value; of an even number of values, the mean of both in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** How far repeats lie apart: largest less smallest, as a fraction of the median. */
export const spread = (values: readonly number[]) => (Math.max(...values) - Math.min(...values)) / median(values)
