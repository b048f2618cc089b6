/** @file How different samples are from each other. */
import { distanceFrom } from '../gflownet/token-distance.ts'
import { ngramCounts } from './overlap.ts'

/** A sampler with a smaller fraction of distinct samples is blind to most of a posterior: KL and effective sample size miss it. */
export const FEW_DISTINCT = 0.05

/** The fraction of samples left when each token sequence counts once: 1 when all differ, 1/n when all are equal; NaN for none. */
export const distinctFraction = (sequences: readonly (readonly number[])[]) =>
  new Set(sequences.map((tokens) => tokens.join())).size / sequences.length

/**
 * Distinct-n (Li et al. 2016): of all n-grams of all samples, words or tokens, the fraction that is left when each counts
 * once; NaN where no sample is that long.
 */
export function distinctNgrams<Word extends string | number>(
  sequences: readonly (readonly Word[])[],
  order: number,
): number {
  const seen = new Set<string>()
  let total = 0
  for (const words of sequences)
    for (const [ngram, count] of ngramCounts(words, order)) {
      seen.add(ngram)
      total += count
    }
  return seen.size / total
}

/**
 * Mean over all pairs of samples of 1 − cos(e_i, e_j): 0 when all mean the same, about 1 when they have nothing to do with
 * each other. NaN for fewer than two samples.
 * @param embeddings  [samples][width], of unit length or not; none may be zero
 */
export function meanPairwiseCosineDistance(embeddings: readonly ArrayLike<number>[]): number {
  const similarities = cosineSimilarities(embeddings)
  const count = embeddings.length
  const ofPairs = similarities.reduce((sum, row, i) => sum + row.slice(0, i).reduce((a, b) => a + b, 0), 0)
  return 1 - ofPairs / ((count * (count - 1)) / 2)
}

/** Added to the diagonal of the Gram matrix, so that two equal samples make it small and not singular. */
const RIDGE = 1e-3

/**
 * log det of the samples' Gram matrix K of cosine similarities, regularised: log det((K + ρI) / (1 + ρ)), ρ = 0.001. It is the
 * (squared) volume that the embeddings span: 0 where all are orthogonal, and about log(2ρ) lower for each sample
 * that repeats another. Unlike the mean distance it is not deceived by two far clusters of equal samples. Compare it
 * between sets of as many samples only.
 * @param embeddings  [samples][width]
 */
export function logGramDeterminant(embeddings: readonly ArrayLike<number>[]): number {
  const regularised = cosineSimilarities(embeddings).map((row, i) =>
    row.map((similarity, j) => (i === j ? 1 : similarity / (1 + RIDGE))),
  )
  return logDeterminant(regularised)
}

/** [samples][samples]. */
function cosineSimilarities(embeddings: readonly ArrayLike<number>[]): number[][] {
  const units = embeddings.map((embedding) => {
    const values = Array.from(embedding)
    const norm = Math.hypot(...values)
    if (!(norm > 0)) throw new Error('an embedding of length zero has no direction')
    return values.map((value) => value / norm)
  })
  return units.map((a) => units.map((b) => a.reduce((sum, value, k) => sum + value * b[k], 0)))
}

/** Of a symmetric positive definite matrix, by Cholesky's decomposition: twice the sum of the logs of its diagonal. */
function logDeterminant(matrix: readonly (readonly number[])[]): number {
  const factor: number[][] = []
  let sum = 0
  for (const [i, row] of matrix.entries()) {
    factor.push([])
    for (let j = 0; j <= i; j++) {
      const rest = row[j] - factor[i].slice(0, j).reduce((dot, value, k) => dot + value * factor[j][k], 0)
      factor[i].push(i === j ? Math.sqrt(rest) : rest / factor[j][j])
    }
    sum += Math.log(factor[i][i])
  }
  return 2 * sum
}

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
