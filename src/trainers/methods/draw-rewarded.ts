/** @file Latents that a step samples for a prompt, with their rewards. */
import type { Trajectory } from '../../gflownet/trajectory.ts'
import type { Lane } from '../../models/lane.ts'
import type { Tape } from '../../models/tape.ts'
import type { Latent } from '../../sampling/latent.ts'
import { sampleWithTool } from '../../sampling/sample.ts'
import { type AskedPrefixes, rewarded } from '../checked-rewards.ts'
import type { Collected } from '../collected.ts'
import type { Prompt } from '../prompts.ts'
import type { TrainingState } from '../state.ts'
import { modelFor, type Run } from './method.ts'

/**
 * A latent for each temperature, drawn from the state's policy; equal steps and places draw the same numbers.
 * @param asked  at which prefixes log R is wanted; default: all
 */
export async function drawRewarded(
  lane: Lane,
  run: Run,
  { adapter, step }: TrainingState,
  prompt: Prompt,
  {
    place,
    temperatures,
    asked,
    tape,
  }: {
    place: number
    temperatures: readonly number[]
    asked?: (latents: readonly Latent[]) => AskedPrefixes
    tape?: Tape
  },
): Promise<Pick<Collected, 'fresh' | 'seconds'>> {
  const { support, random, tool, config } = run
  const started = performance.now()
  const sampler = { model: modelFor('learning', run), adapter, support, tool, int8: config.rollouts === 'int8' }
  const draws = random.at('sample', step, place)
  const drawn = await sampleWithTool(lane, sampler, { prompt: prompt.tokens, temperatures, draws, tape })
  const sampled = performance.now()
  const scored = await rewarded(lane, run, prompt, drawn, asked?.(drawn))
  const fresh = scored.map(
    (latent, n): Trajectory => ({ ...latent, source: temperatures[n] === 1 ? 'policy' : 'tempered' }),
  )
  return { fresh, seconds: { sample: (sampled - started) / 1000, reward: (performance.now() - sampled) / 1000 } }
}
