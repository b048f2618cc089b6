/** @file What a run goes through from its beginning to its end: one training, or two that take turns. */
import type { LoraAdapter } from '../adapters/lora.ts'
import { type TrainingConfig, totalSteps } from './config.ts'
import type { Phase, StepEvent, Warning } from './events.ts'
import { alternating } from './expectation-maximisation.ts'
import { refuseInt8 } from './int8.ts'
import { updates } from './loop.ts'
import { methodOf } from './methods/index.ts'
import { refuseOverlap } from './overlap.ts'
import type { TrainingState } from './state.ts'
import { beginTraining, prepareTraining, type TrainingMaterial } from './training.ts'

export type Course = {
  /** The state before the first update, and what there is to warn of. The adapter is given, or a fresh one. */
  begin: (adapter?: LoraAdapter) => Promise<{ state: TrainingState; warnings: Warning[] }>
  /** Updates from a state on, to the end or until the signal comes: the state after each, which the next one overwrites. */
  updates: (from: TrainingState, signal?: AbortSignal) => AsyncIterable<Update>
  /** Updates in all. */
  steps: number
}

export type Update = { state: TrainingState; events: StepEvent[]; phase?: Phase }

/** @throws UserError for mistakes in config or prompts, before any work */
export async function prepareCourse(material: TrainingMaterial, config: TrainingConfig): Promise<Course> {
  refuseInt8(material.model, config)
  refuseOverlap(config)
  const steps = totalSteps(config)
  if (config.em.rounds > 0) return { steps, ...(await alternating(material, config)) }
  const training = await prepareTraining(material, config, methodOf(config.method))
  return {
    steps,
    begin: (adapter) => beginTraining(training, adapter),
    updates: (from, signal) => updates(training, from, { until: steps, signal }),
  }
}
