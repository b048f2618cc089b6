/** @file Latents that a step samples for a prompt, with their rewards. */
import { untemperedTerms } from '../../gflownet/reward-temperature.ts'
import type { Trajectory } from '../../gflownet/trajectory.ts'
import type { Lane } from '../../models/lane.ts'
import { sampleWithTool } from '../../sampling/sample.ts'
import { checkedRewards } from '../checked-rewards.ts'
import type { Prompt } from '../prompts.ts'
import type { TrainingState } from '../state.ts'
import { type Collected, type Run, rewardContext } from './method.ts'

/**
 * A latent for each temperature, drawn from the state's policy; equal steps and places draw the same numbers.
 * @param onlyWhole  log R is wanted of whole latents alone
 */
export async function drawRewarded(
  lane: Lane,
  run: Run,
  { adapter, step }: TrainingState,
  prompt: Prompt,
  { place, temperatures, onlyWhole }: { place: number; temperatures: readonly number[]; onlyWhole?: boolean },
): Promise<Pick<Collected, 'fresh' | 'seconds'>> {
  const { model, support, random, tool } = run
  const started = performance.now()
  const sampler = { model: model.description, adapter, support, tool }
  const draws = random.at('sample', step, place)
  const drawn = await sampleWithTool(lane, sampler, { prompt: prompt.tokens, temperatures, draws })
  const latents = drawn.map(({ tokens }) => tokens)
  const sampled = performance.now()

  const context = {
    ...rewardContext(lane, run, prompt.tokens),
    ...(tool && { inserted: drawn.map(({ inserted }) => inserted) }),
    ...(onlyWhole && { onlyWhole }),
  }
  const rewards = checkedRewards(await prompt.reward.score(context, latents), latents, context, prompt)
  const untempered = untemperedTerms(rewards)
  const fresh = drawn.map(
    ({ tokens, inserted }, n): Trajectory => ({
      tokens,
      ...(inserted.length > 0 && { inserted }),
      logReward: rewards.logReward[n],
      ...(untempered && { untempered: untempered[n] }),
      source: temperatures[n] === 1 ? 'policy' : 'tempered',
    }),
  )
  return { fresh, seconds: { sample: (sampled - started) / 1000, reward: (performance.now() - sampled) / 1000 } }
}
