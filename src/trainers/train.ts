/**
 * @file Training as a stream of events. Everything that a run does is said in them; nothing is printed and nothing written here.
 */
import type { LoraAdapter } from '../adapters/lora.ts'
import { parameterCount } from '../models/language-model.ts'
import { sizeOf } from '../runtime/host-tensor.ts'
import { parseTrainingConfig, type TrainingOptions } from './config.ts'
import { prepareCourse } from './course.ts'
import type { TrainingEvent } from './events.ts'
import { trainedOf } from './loop.ts'
import { type TrainingState, updatesDone } from './state.ts'
import type { TrainingMaterial } from './training.ts'

export type FineTuneOptions = TrainingOptions &
  TrainingMaterial & {
    /** Starts from this adapter instead of a fresh one. Its rank, alpha and targets hold, not those of `lora`. */
    adapter?: LoraAdapter
    /** Goes on from here, as if it had not been stopped. */
    resume?: TrainingState
    /** Ends the run after the step under way, with a last state. */
    signal?: AbortSignal
  }

/**
 * Fine-tunes an adapter, by default so that it samples latents in proportion to their reward.
 * @returns events; the last one, `finished`, holds the trained adapter
 * @throws UserError for mistakes in config or prompts before any work, and (exit code 1) for a reward or a gradient that is no
 * number
 */
export async function* fineTune(given: FineTuneOptions): AsyncGenerator<TrainingEvent> {
  const { model, prompts, reward, adapter, reference, tool, resume, signal, ...options } = given
  const config = parseTrainingConfig(options, 'config')
  const course = await prepareCourse({ model, prompts, reward, reference, tool }, config)
  const begun = resume ? { state: resume, warnings: [] } : await course.begin(adapter)
  const { steps } = course
  let { state } = begun
  let step = updatesDone(state)
  const parameters = { frozen: parameterCount(model.description), trained: trainedParameters(state) }
  yield { kind: 'started', step, steps, parameters }
  for (const warning of begun.warnings) yield { kind: 'warning', step: 0, ...warning }

  for await (const update of course.updates(state, signal)) {
    state = update.state
    step = updatesDone(state)
    const phase = update.phase && { phase: update.phase }
    for (const event of update.events) yield { ...event, ...phase }
    if (step % config.checkpoints.every === 0 && step < steps) yield { kind: 'checkpoint', step, state, ...phase }
  }
  yield { kind: 'finished', step, state, reason: step < steps ? 'stopped' : 'steps' }
}

/** @throws UserError for mistakes in config or prompts: what `fineTune` would refuse before its first step */
export async function checkTraining({
  model,
  prompts,
  reward,
  reference,
  tool,
  ...options
}: FineTuneOptions): Promise<void> {
  await prepareCourse({ model, prompts, reward, reference, tool }, parseTrainingConfig(options, 'config'))
}

const trainedParameters = (state: TrainingState): number =>
  Object.values(trainedOf(state)).reduce((sum, { shape }) => sum + sizeOf(shape), 0) +
  (state.reference ? trainedParameters(state.reference) : 0)
