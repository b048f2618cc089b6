/** @file The tape of a step: what the policy computes while it samples a prompt's latents, used again to learn from them. */
import type { ModelDescription } from '../models/architecture.ts'
import type { Lane } from '../models/lane.ts'
import { openTape, type Tape } from '../models/tape.ts'
import { mean } from '../sums.ts'
import type { TrainingConfig } from './config.ts'
import { modelFor, type Run } from './methods/method.ts'
import type { Prompt } from './prompts.ts'
import type { TrainingState } from './state.ts'

/**
 * Operations of a linear layer, on average and for all samples' next token, from which on it takes longer to compute its outputs again
 * than to keep them: that takes a constant time for each layer, and most of a tiny model's (docs/performance.md).
 */
const LEAST_OPERATIONS = 1e7

/** Do latents come from the policy that learns from them, as it is and with the same products, and is the model large enough to gain by that? */
export function isTaped(
  { method, overlap, rollouts, learning, samplesPerPrompt }: TrainingConfig,
  { linears }: Pick<ModelDescription, 'linears'>,
): boolean {
  const operations = mean(linears.map(({ inputs, outputs }) => 2 * samplesPerPrompt * inputs * outputs))
  return method === 'gflownet' && !overlap && rollouts === learning && operations >= LEAST_OPERATIONS
}

/** The tape of one prompt's part of a step, where there is memory for one. */
export async function tapeOf(
  lane: Lane,
  run: Run,
  { adapter }: Pick<TrainingState, 'adapter'>,
  prompt: Prompt,
): Promise<Tape | undefined> {
  const { config, support, tool } = run
  const model = modelFor('learning', run)
  if (run.model.lanes.device !== 'cpu') return undefined // elsewhere it would travel to and fro
  if (model.recompute !== 'nothing' || !isTaped(config, model)) return undefined
  // A tool adds to what is drawn; of what has no room on the tape the learn step computes all.
  const perLatent = (tool ? 2 : 1) * support.maxTokens
  const room = { prompt: prompt.tokens.length, tokens: config.samplesPerPrompt * perLatent }
  return openTape(lane, { model, adapter }, { ...room, withOthers: config.sources.replay > 0 })
}
