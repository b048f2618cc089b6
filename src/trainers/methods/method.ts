/**
 * @file What a way of learning says, so that all share the loop, its events, its checkpoints and resuming: what a step works on, and
 * the gradients that it learns from it.
 */
import type { LoraAdapter } from '../../adapters/lora.ts'
import type { LearnResult } from '../../gflownet/learn-step.ts'
import type { ReplayBuffer } from '../../gflownet/replay-buffer.ts'
import type { ModelDescription } from '../../models/architecture.ts'
import type { Lane } from '../../models/lane.ts'
import type { LanguageModel } from '../../models/language-model.ts'
import type { Tape } from '../../models/tape.ts'
import type { Random } from '../../random.ts'
import type { RewardContext } from '../../rewards/reward.ts'
import type { NamedTensors } from '../../runtime/host-tensor.ts'
import type { Support } from '../../sampling/support.ts'
import type { BoundTool } from '../../sampling/tools.ts'
import type { Collected } from '../collected.ts'
import type { TrainingConfig } from '../config.ts'
import type { Warning } from '../events.ts'
import type { Prompt } from '../prompts.ts'
import type { TrainingState } from '../state.ts'

/** What stays the same during a run. */
export type Run = {
  model: LanguageModel
  config: TrainingConfig
  support: Support
  /** The reference model's own adapter; undefined: the model as it is. */
  reference?: LoraAdapter
  tool?: BoundTool
  prompts: readonly Prompt[]
  random: Random
  rewardTemperature: (step: number) => number
  learningRate: (step: number) => number
}

/** What was learned from it; scores are those of the fresh latents first. */
export type Learned = LearnResult & {
  /** Further figures of the method, as group/quantity, besides `StepMetrics`. */
  figures?: Record<string, number>
}

export type Result<Batch extends Collected = Collected> = { batch: Batch; learned: Learned; learnSeconds: number }

/** The state that a method begins with: latents to replay, and what it trains besides the adapter. */
export type Beginning = { buffer: ReplayBuffer; critic?: NamedTensors; warning?: Warning }

export type Method<Batch extends Collected = Collected> = {
  /** Updates that a step makes with what it collected. */
  rounds: (config: TrainingConfig) => number
  /** Is what it learns right wherever its latents come from? Else they are sampled by the policy as it is. */
  offPolicy?: true
  /** Does it learn without rewards? Then prompts may come without one, and none is asked. */
  withoutRewards?: true
  /** The prompts that it can learn from; default: all. @throws UserError, before any work, where there are none */
  usable?: (run: Run) => Promise<{ prompts: readonly Prompt[]; warning?: Warning }>
  /** @throws UserError, before any work, where a run cannot be trained in this way */
  begin: (run: Run) => Promise<Beginning>
  /** A tape for what is collected and then learned from on one lane, by the same policy; absent where it would be of no use. */
  openTape?: (lane: Lane, run: Run, state: TrainingState, prompt: Prompt) => Promise<Tape | undefined>
  collect: (lane: Lane, run: Run, state: TrainingState, prompt: Prompt, place: number, tape?: Tape) => Promise<Batch>
  /** Opens what `learn` runs, before it is asked. */
  openLearning?: (lane: Lane, run: Run, state: TrainingState) => Promise<void>
  /** Gradients have the names of the adapter's matrices and of the critic's. */
  learn: (lane: Lane, run: Run, state: TrainingState, batch: Batch, round: number, tape?: Tape) => Promise<Learned>
  /** Has the policy moved so far from the one that drew the samples that what a further round learned of them is not followed? */
  isEnough?: (config: TrainingConfig, results: readonly Result<Batch>[]) => boolean
  /** What of the state follows from a step besides the parameters. Results are those of the first round. */
  remember: (run: Run, state: TrainingState, results: readonly Result<Batch>[]) => Partial<TrainingState>
}

/** The model as a part of a step multiplies with it, where that scores given tokens or learns of them. */
export const modelFor = (
  part: 'scoring' | 'learning',
  { model: { description }, config }: Pick<Run, 'model' | 'config'>,
): ModelDescription => (config[part] === 'int8' ? { ...description, int8: true } : description)

/** What a reward of a run's prompt may look at. */
export const rewardContext = (
  lane: Lane,
  run: Pick<Run, 'model' | 'reference' | 'support' | 'config'>,
  prompt: readonly number[],
): RewardContext => ({
  lane,
  model: modelFor('scoring', run),
  ...(run.reference && { adapter: run.reference }),
  tokenizer: run.model.tokenizer,
  support: run.support,
  prompt,
})
