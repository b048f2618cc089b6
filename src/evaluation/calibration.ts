/** @file Is a model as often right as it says? Confidence against accuracy, in bins. */

/** Answers whose confidence is in (from, to]; confidence 0 belongs to the first bin. Means are NaN where it is empty. */
export type CalibrationBin = {
  from: number
  to: number
  count: number
  meanConfidence: number
  /** Fraction of right answers. */
  accuracy: number
}

export type Calibration = {
  /** [bins], of equal width, also empty ones. */
  bins: CalibrationBin[]
  /** Σ n_b / n · |accuracy − mean confidence| (Naeini et al. 2015; Guo et al. 2017), between 0 and 1. */
  expectedError: number
  /** The largest of these differences. */
  maximumError: number
}

/**
 * Compares confidence with accuracy.
 * @param confidence  [answers], the probability of each given answer, between 0 and 1
 * @param isCorrect   [answers]
 */
export function calibration(
  confidence: ArrayLike<number>,
  isCorrect: ArrayLike<boolean>,
  { bins: count = 10 }: { bins?: number } = {},
): Calibration {
  if (confidence.length !== isCorrect.length)
    throw new Error(`${confidence.length} confidences for ${isCorrect.length} answers`)
  const members: number[][] = Array.from({ length: count }, () => [])
  for (let i = 0; i < confidence.length; i++) {
    const value = confidence[i]
    if (!(value >= 0 && value <= 1)) throw new Error(`confidence ${value} of answer ${i} is no probability`)
    const bin = members.findIndex((_, b) => value <= (b + 1) / count) // by the edges: 0.7 · 10 is more than 7
    members[bin].push(i)
  }
  const bins = members.map((answers, b) => ({
    from: b / count,
    to: (b + 1) / count,
    count: answers.length,
    meanConfidence: answers.reduce((sum, i) => sum + confidence[i], 0) / answers.length,
    accuracy: answers.filter((i) => isCorrect[i]).length / answers.length,
  }))
  const gaps = bins
    .filter((bin) => bin.count > 0)
    .map((bin) => ({ share: bin.count / confidence.length, gap: Math.abs(bin.accuracy - bin.meanConfidence) }))
  return {
    bins,
    expectedError: gaps.length ? gaps.reduce((sum, { share, gap }) => sum + share * gap, 0) : Number.NaN,
    maximumError: gaps.length ? Math.max(...gaps.map(({ gap }) => gap)) : Number.NaN,
  }
}
