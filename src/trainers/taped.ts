/** @file The tape of a step: what the policy computes while it samples a prompt's latents, used again to learn from them. */
import type { Lane } from '../models/lane.ts'
import { openTape, type Tape } from '../models/tape.ts'
import type { TrainingConfig } from './config.ts'
import { modelFor, type Run } from './methods/method.ts'
import type { Prompt } from './prompts.ts'
import type { TrainingState } from './state.ts'

/** Do latents come from the policy that learns from them, as it is and with the same products? */
export const isTaped = ({ method, overlap, rollouts, learning }: TrainingConfig): boolean =>
  method === 'gflownet' && !overlap && rollouts === learning

/** The tape of one prompt's part of a step, where there is memory for one. */
export async function tapeOf(
  lane: Lane,
  run: Run,
  { adapter }: Pick<TrainingState, 'adapter'>,
  prompt: Prompt,
): Promise<Tape | undefined> {
  const { config, support, tool } = run
  const model = modelFor('learning', run)
  if (model.recompute !== 'nothing' || !isTaped(config)) return undefined
  // A tool adds to what is drawn; of what has no room on the tape the learn step computes all.
  const perLatent = (tool ? 2 : 1) * support.maxTokens
  const room = { prompt: prompt.tokens.length, tokens: config.samplesPerPrompt * perLatent }
  return openTape(lane, { model, adapter }, { ...room, withOthers: config.sources.replay > 0 })
}
