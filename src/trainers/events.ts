/** @file What a training run says while it runs. Terminal, run folder and tests read the same events. */
import type { TrainingState } from './state.ts'

/** Metrics are group/quantity; a quantity's unit is in its name or in nats. */
export type StepMetrics = {
  'loss/objective': number
  /** Mean untempered log R of the latents that the policy itself sampled; NaN where there is none. */
  'reward/logMean': number
  /** Mean log q of the same latents. */
  'policy/logMean': number
  /** Entropy of the first token of the same latents, ⊤ among the tokens, as they estimate it: the mean of −log q. */
  'policy/firstTokenEntropy': number
  /** Fraction of distinct latents among all that were sampled in this step, replayed ones aside. */
  'samples/distinctFraction': number
  'samples/count': number
  /** Mean number of tokens of the sampled latents. */
  'samples/length': number
  'replay/stored': number
  'optim/gradientNorm': number
  'optim/learningRate': number
  'schedule/rewardTemperature': number
  'time/sampleSeconds': number
  'time/rewardSeconds': number
  'time/learnSeconds': number
  'time/stepSeconds': number
  /** Figures that only some methods have. */
  [further: `${string}/${string}`]: number
}

export type SampleRecord = { prompt: string; tokens: readonly number[]; logQ: number; logReward: number }

/** What a user should know, and what to do about it where it is not meant. */
export type Warning = { what: string; fix: string }

/** Where a run of expectation-maximisation is: E-steps train the adapter, M-steps the reference model's own. */
export type Phase = { name: 'expectation' | 'maximisation'; round: number }

/** What one update has to tell. */
export type StepEvent =
  | { kind: 'step'; step: number; metrics: StepMetrics }
  | ({ kind: 'warning'; step: number } & Warning)
  /** A few latents of the policy itself with log q and untempered log R, before this step's update. */
  | { kind: 'samples'; step: number; samples: SampleRecord[] }

export type TrainingEvent = { phase?: Phase } & (
  | { kind: 'started'; step: number; steps: number; parameters: { frozen: number; trained: number } }
  | StepEvent
  /** A state to keep. It is plain data that the next step overwrites: save it before asking for the next event. */
  | { kind: 'checkpoint'; step: number; state: TrainingState }
  | { kind: 'finished'; step: number; state: TrainingState; reason: 'steps' | 'stopped' }
)
