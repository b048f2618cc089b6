/** @file How different samples are from each other. */

/** The fraction of samples left when each token sequence counts once: 1 when all differ, 1/n when all are equal; NaN for none. */
export const distinctFraction = (sequences: readonly (readonly number[])[]) =>
  new Set(sequences.map((tokens) => tokens.join())).size / sequences.length
