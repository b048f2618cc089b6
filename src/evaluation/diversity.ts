/** @file How different samples are from each other. */
import { distanceFrom } from '../gflownet/token-distance.ts'

/** The fraction of samples left when each token sequence counts once: 1 when all differ, 1/n when all are equal; NaN for none. */
export const distinctFraction = (sequences: readonly (readonly number[])[]) =>
  new Set(sequences.map((tokens) => tokens.join())).size / sequences.length

/** The number of pairs grows with the square of the samples, and more of them say nothing new. */
const MOST_COMPARED = 128

/**
 * Mean over pairs of the edit distance as a fraction of the longer one's tokens: 0 when all are equal, 1 when no two share a
 * token in place; NaN for fewer than two. Of many sequences the first 128 are compared.
 */
export function meanTokenDistance(sequences: readonly (readonly number[])[]): number {
  const compared = sequences.slice(0, MOST_COMPARED)
  let sum = 0
  for (const [n, tokens] of compared.entries()) {
    const distanceTo = distanceFrom(tokens)
    for (const other of compared.slice(n + 1)) sum += distanceTo(other) / Math.max(1, tokens.length, other.length)
  }
  return sum / ((compared.length * (compared.length - 1)) / 2)
}
