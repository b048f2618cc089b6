/**
 * @file The public names. Everything else is reachable by its folder: `flowtune/evaluation`, `flowtune/tensor/program`.
 *
 *     const model = await loadLanguageModel('models/stories260K')
 *     const run = fineTune({ model, prompts, reward: posterior({ ending: 'They all went home happy.' }), seed: 1 })
 *     for await (const event of run) console.log(event)
 */
export type { LoraAdapter, LoraConfig } from './adapters/lora.ts'
export { readPeftFolder, writePeftFolder } from './adapters/peft.ts'
export { type BaselineName, baselineNames, baselines } from './baselines/index.ts'
export type { Answer, InferenceMethod, Query } from './baselines/method.ts'
export { UserError } from './errors.ts'
export {
  type BaselineComparison,
  type BaselineOptions,
  compareBaselines,
  type MethodAnswers,
  type MethodSummary,
  summariseMethod,
} from './evaluation/equal-compute/compare-baselines.ts'
export type { Estimate } from './evaluation/estimate.ts'
export {
  type EvaluateOptions,
  type EvaluationSummary,
  evaluateSamplers,
  type PromptEvaluation,
  type SamplerResult,
  summarise,
} from './evaluation/evaluate.ts'
export { type Exporter, type ExportOptions, exportPolicy } from './export/export-policy.ts'
export { ggufExporter } from './export/gguf.ts'
export { mergedExporter } from './export/merged.ts'
export { onnxExporter } from './export/onnx.ts'
export { peftExporter } from './export/peft.ts'
export type { Policy } from './export/policy.ts'
export type { Verification } from './export/verify.ts'
export { scoreUnderPolicy } from './gflownet/policy.ts'
export { type LanguageModel, type LoadOptions, loadLanguageModel } from './models/language-model.ts'
export { loadAdapter } from './models/load-adapter.ts'
export { scoreText } from './models/score-text.ts'
export { type Random, seededRandom } from './random.ts'
export { type ClassifierOptions, classifier } from './rewards/classifier.ts'
export { power, product, underReference, untempered } from './rewards/compose.ts'
export { constrained } from './rewards/constrained.ts'
export { contrastive } from './rewards/contrastive.ts'
export { explicit, type LogDensity } from './rewards/explicit.ts'
export { fewShotPosterior } from './rewards/few-shot.ts'
export { labelLikelihood } from './rewards/label-likelihood.ts'
export { labelPosterior } from './rewards/label-posterior.ts'
export type { LabelOptions } from './rewards/label-scores.ts'
export { type LengthPriorOptions, lengthPrior } from './rewards/length-prior.ts'
export { ownReward, type RewardFunction, type RewardInput } from './rewards/own.ts'
export { type PatternOptions, patterns } from './rewards/patterns.ts'
export { posterior } from './rewards/posterior.ts'
export type { Reading } from './rewards/prefix-scores.ts'
export { reverse } from './rewards/reverse.ts'
export { defineReward, type PrefixRewards, type Reward, type RewardContext } from './rewards/reward.ts'
export { tempered } from './rewards/tempered.ts'
export { words } from './rewards/words.ts'
export { calculator } from './sampling/calculator.ts'
export { isolatedTool } from './sampling/isolated-tool.ts'
export type { Inserted, Latent, LatentRecord } from './sampling/latent.ts'
export { type Sampler, type Sampling, sampleLatents, sampleWithTool } from './sampling/sample.ts'
export type { Support } from './sampling/support.ts'
export { type BoundTool, bindTool, type Tool } from './sampling/tools.ts'
export { arithmeticTask } from './tasks/arithmetic.ts'
export { makeSums } from './tasks/arithmetic-data.ts'
export { lastResult } from './tasks/arithmetic-text.ts'
export { drawScored, type ModelSampler, type ScoredSample } from './tasks/draw.ts'
export { embeddedModel } from './tasks/embedded.ts'
export { findTask, tasks } from './tasks/index.ts'
export { type Prediction, predict } from './tasks/predict.ts'
export { evaluateRun, type Report } from './tasks/report.ts'
export { subjectivityTask } from './tasks/subjectivity.ts'
export type { Example, ExampleSource, Task, TaskAnswer, TaskPrompt } from './tasks/task.ts'
export { latestAdapter, latestReference, limitsOf, openRun, resumeRun, startRun, train } from './tasks/task-run.ts'
export { drawResampled, drawWeighted, type WeightedSample, type WeightQuality } from './tasks/weighted-draw.ts'
export type { TrainingConfig, TrainingOptions } from './trainers/config.ts'
export type { Phase, StepMetrics, TrainingEvent, Warning } from './trainers/events.ts'
export { type Prompt, type PromptInput, resolvePrompts, supportOf } from './trainers/prompts.ts'
export { recorded } from './trainers/run-folder.ts'
export { readStepMetrics } from './trainers/run-metrics.ts'
export type { TrainingState } from './trainers/state.ts'
export { type FineTuneOptions, fineTune } from './trainers/train.ts'
