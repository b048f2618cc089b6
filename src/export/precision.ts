/**
 * @file How exactly each stored type holds a number. What an export holds may differ from the policy's weights by this
 * much and not by more, and its log-probabilities by twice what such rounding did at worst to checkpoints of width 32 to
 * 64 with large random adapters; in wider models errors average out.
 */

export type Precision = {
  /** Largest rounding error of a value, in parts of it. */
  relative: number
  /** The same in parts of the largest magnitude of its tensor. */
  ofLargest: number
  /** The same for the smallest numbers, which have fewer digits. */
  smallest: number
  /** Nats by which the log-probability of a token may differ. */
  nats: number
}

const exact = { relative: 0, ofLargest: 0, smallest: 0 }

export const precisions = {
  float32: { ...exact, nats: 1e-4 }, // sums in another order
  float16: { ...exact, relative: 2 ** -11, smallest: 2 ** -25, nats: 0.05 },
  bfloat16: { ...exact, relative: 2 ** -8, smallest: 2 ** -134, nats: 0.4 },
  // Half a step of largest/127, and the error of a step in half precision, 127 times.
  int8: { ...exact, ofLargest: (0.5 + 127 * 2 ** -11) / 127, smallest: 2 ** -25, nats: 0.5 },
} as const satisfies Record<string, Precision>

export type PrecisionName = keyof typeof precisions

/** The type that rounds most among some; exact ones where there is none. */
export const leastExact = (names: readonly PrecisionName[]): PrecisionName =>
  names.toSorted((a, b) => precisions[b].nats - precisions[a].nats)[0] ?? 'float32'

/** A place where two tensors differ: `excess` is the difference in parts of what the type explains, 1 or less being well. */
export type Deviation = { element: number; difference: number; excess: number }

/** The largest excess among the elements of a tensor. */
export function worstDeviation(
  expected: Float32Array,
  found: Float32Array,
  { relative, ofLargest, smallest }: Precision,
): Deviation {
  let largest = 0
  if (ofLargest > 0) for (const value of expected) largest = Math.max(largest, Math.abs(value))
  const least = Math.max(smallest, ofLargest * largest)
  let worst: Deviation = { element: 0, difference: 0, excess: 0 }
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(expected[i] - found[i])
    if (difference === 0) continue
    const excess = difference / Math.max(least, relative * Math.abs(expected[i]))
    if (!(excess <= worst.excess)) worst = { element: i, difference, excess } // NaN is the worst of all
  }
  return worst
}
