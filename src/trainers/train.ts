/**
 * @file Training as a stream of events. Everything that a run does is said in them; nothing is printed and nothing written here.
 */
import type { LoraAdapter } from '../adapters/lora.ts'
import { parameterCount } from '../models/language-model.ts'
import { sizeOf } from '../runtime/host-tensor.ts'
import { parseTrainingConfig, type TrainingOptions } from './config.ts'
import type { TrainingEvent } from './events.ts'
import { trainedOf, updates } from './loop.ts'
import { methodOf } from './methods/index.ts'
import type { TrainingState } from './state.ts'
import { beginTraining, prepareTraining, type TrainingMaterial } from './training.ts'

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
  const material = { model, prompts, reward, reference, tool }
  const training = await prepareTraining(material, config, methodOf(config.method))
  const begun = resume ? { state: resume, warnings: [] } : await beginTraining(training, adapter)
  let { state } = begun
  const parameters = {
    frozen: parameterCount(model.description),
    trained: Object.values(trainedOf(state)).reduce((sum, { shape }) => sum + sizeOf(shape), 0),
  }
  yield { kind: 'started', step: state.step, steps: config.steps, parameters }
  for (const warning of begun.warnings) yield { kind: 'warning', step: 0, ...warning }

  for await (const update of updates(training, state, { until: config.steps, signal })) {
    state = update.state
    yield* update.events
    if (state.step % config.checkpoints.every === 0 && state.step < config.steps)
      yield { kind: 'checkpoint', step: state.step, state }
  }
  yield { kind: 'finished', step: state.step, state, reason: state.step < config.steps ? 'stopped' : 'steps' }
}
