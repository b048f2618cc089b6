/** @file The measures that a task's results may be told in. What each says is in `src/evaluation/evaluate.ts`. */

export const measureNames = [
  'logReward',
  'likelihood',
  'bestLikelihood',
  'kl',
  'effectiveFraction',
  'paretoK',
  'ratioVariance',
  'distinct',
  'diversity',
  'lengthBias',
  'firstTokenEntropyGap',
] as const

export type MeasureName = (typeof measureNames)[number]

/** Those of a task that does not choose. */
export const usualMeasures: readonly MeasureName[] = [
  'logReward',
  'likelihood',
  'kl',
  'effectiveFraction',
  'paretoK',
  'distinct',
]
