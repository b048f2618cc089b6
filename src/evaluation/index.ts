/**
 * @file Evaluation as a library: `flowtune/evaluation`. What a sampler draws against what it should draw, how good and how
 * different the texts are, how right the answers, and pictures of it.
 */

export { type Calibration, type CalibrationBin, calibration } from './calibration.ts'
export { entropy, klDivergence, normaliseLog, totalVariation } from './divergence.ts'
export { distinctFraction, distinctNgrams, logGramDeterminant, meanPairwiseCosineDistance } from './diversity.ts'
export { type EmbeddingScore, embeddingScore } from './embedding-score.ts'
export {
  compareExactly,
  compareShapes,
  type EnumeratedProblem,
  enumerateLatents,
  enumeratePolicy,
  enumerateRewards,
  withTool,
} from './enumerate.ts'
export { type BreakEven, breakEven } from './equal-compute/break-even.ts'
export {
  type BaselineComparison,
  type BaselineOptions,
  compareBaselines,
  type MethodAnswers,
  type MethodSummary,
  summariseMethod,
} from './equal-compute/compare-baselines.ts'
export { type Estimate, meanEstimate, sampleVariance } from './estimate.ts'
export { evaluateSamplers, summarise } from './evaluate.ts'
export { type Judge, judgeCoherence } from './judge.ts'
export {
  estimateLogPartition,
  klToPosterior,
  type LogPartition,
  logWeights,
  mixtureLogWeights,
} from './log-partition.ts'
export { type OutcomeDistribution, outcomeDistribution, tokenisationsOf } from './outcomes.ts'
export { bleu, gleu, wordsOf } from './overlap.ts'
export { type ParetoSmoothed, paretoSmoothed, TRUSTED_PARETO_K } from './pareto-smoothing.ts'
export { type CostCurve, type CostPanel, qualityAgainstCost } from './pictures/costs.ts'
export { type Curve, type Panel, trainingCurves } from './pictures/curves.ts'
export { type FrontierCurve, type FrontierPanel, frontier } from './pictures/frontier.ts'
export { type NumberDistribution, numberHistogram } from './pictures/histogram.ts'
export type { Heading, Picture } from './pictures/picture.ts'
export { type NamedCalibration, reliabilityDiagram } from './pictures/reliability.ts'
export { renderPng, renderSvg, writePicture } from './pictures/render.ts'
export { drawPool, type Pool, type PoolPart } from './pool.ts'
export { normalisedWeights, posteriorMean, resample } from './posterior-expectation.ts'
export { type PosteriorPredictive, posteriorPredictive } from './posterior-predictive.ts'
export { openSentenceEncoder, type SentenceEncoder } from './sentence-encoder.ts'
export { mostFrequent, vote, votingAccuracy } from './votes.ts'
