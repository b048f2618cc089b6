/**
 * @file How much of a text's wording is in a reference: BLEU and GLEU of sentences, as NLTK computes them (its values are
 * the tests'). No library for Node that is still kept has both with this smoothing.
 */

const MAX_ORDER = 4 // BLEU-4, GLEU-4

/** Counts as this many matches where an order has none: NLTK's smoothing method 1 (Chen and Cherry 2014). */
const NO_MATCH = 0.1

/** The words of a text: what spaces separate, as in the paper's evaluation. */
export const wordsOf = (text: string): string[] => text.split(/\s+/u).filter((word) => word !== '')

/**
 * Sentence BLEU-4 (Papineni et al. 2002), between 0 and 1: the geometric mean of the clipped precisions of n-grams up to
 * four words, smoothed, times the penalty for being shorter than the closest reference.
 * @param references  [references][words]
 */
export function bleu(candidate: readonly string[], references: readonly (readonly string[])[]): number {
  let logPrecisions = 0
  for (let order = 1; order <= MAX_ORDER; order++) {
    const own = ngramCounts(candidate, order)
    const theirs = references.map((reference) => ngramCounts(reference, order))
    const matches = sumOver(own, (count, ngram) =>
      Math.min(count, Math.max(0, ...theirs.map((counts) => counts.get(ngram) ?? 0))),
    )
    if (order === 1 && matches === 0) return 0
    logPrecisions += Math.log((matches || NO_MATCH) / Math.max(1, candidate.length - order + 1))
  }
  return brevityPenalty(candidate.length, references) * Math.exp(logPrecisions / MAX_ORDER)
}

/**
 * Sentence GLEU-4 (Wu et al. 2016), between 0 and 1: of all n-grams of one to four words, the smaller of precision and
 * recall; of several references the best.
 */
export function gleu(candidate: readonly string[], references: readonly (readonly string[])[]): number {
  const own = ngramsUpToFour(candidate)
  return Math.max(
    0,
    ...references.map((reference) => {
      const theirs = ngramsUpToFour(reference)
      const larger = Math.max(sumOver(own), sumOver(theirs))
      if (larger === 0) return 0
      return sumOver(own, (count, ngram) => Math.min(count, theirs.get(ngram) ?? 0)) / larger
    }),
  )
}

/** exp(1 − r/c) for a candidate of c words, where the reference of the closest length (of two, the shorter) has r > c. */
function brevityPenalty(length: number, references: readonly (readonly string[])[]): number {
  const [closest] = references
    .map((reference) => reference.length)
    .sort((a, b) => Math.abs(a - length) - Math.abs(b - length) || a - b)
  return length > closest ? 1 : Math.exp(1 - closest / length)
}

/** n-grams of words and how often each occurs. */
export function ngramCounts<Word extends string | number>(words: readonly Word[], order: number): Map<string, number> {
  const counts = new Map<string, number>()
  for (let end = order; end <= words.length; end++) {
    const ngram = JSON.stringify(words.slice(end - order, end))
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1)
  }
  return counts
}

const ngramsUpToFour = (words: readonly string[]) =>
  new Map([1, 2, 3, 4].flatMap((order) => [...ngramCounts(words, order)]))

function sumOver(
  counts: ReadonlyMap<string, number>,
  of: (count: number, ngram: string) => number = (count) => count,
): number {
  let sum = 0
  for (const [ngram, count] of counts) sum += of(count, ngram)
  return sum
}
