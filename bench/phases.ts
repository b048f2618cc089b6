/** @file The phases of a step, one by one, on random tokens. */
import type { LoraAdapter } from '../src/adapters/lora.ts'
import { type LearnBatch, learnStep } from '../src/gflownet/learn-step.ts'
import type { ModelDescription } from '../src/models/architecture.ts'
import type { Lane } from '../src/models/lane.ts'
import type { Draws } from '../src/random.ts'
import { posterior } from '../src/rewards/posterior.ts'
import type { Reward } from '../src/rewards/reward.ts'
import { tempered } from '../src/rewards/tempered.ts'
import { sampleLatents } from '../src/sampling/sample.ts'
import type { Support } from '../src/sampling/support.ts'
import type { Tokenizer } from '../src/tokenizer/tokenizer.ts'

/** One phase of a step, for one prompt. */
export type Phase = (lane: Lane, prompt: number[], draws: Draws) => Promise<unknown>

const STOP = 0 // no random token is ⊤

export const randomTokens = ({ dimensions: { vocabulary } }: ModelDescription, draws: Draws, count: number): number[] =>
  Array.from({ length: count }, () => 1 + draws.integer(vocabulary - 1))

/** By their names: each with exact products and by int8 copies. Every latent has the full length. */
export function phasesOf(
  model: ModelDescription,
  adapter: LoraAdapter,
  { samples, latentTokens, endingTokens }: { samples: number; latentTokens: number; endingTokens: number },
): Record<string, Phase> {
  const support: Support = { stop: STOP, minTokens: 0, maxTokens: latentTokens }
  const latents = (draws: Draws) => Array.from({ length: samples }, () => randomTokens(model, draws, latentTokens))

  const sampling =
    (int8: boolean): Phase =>
    (lane, prompt, draws) => {
      const whole = { ...support, minTokens: latentTokens } // none may end early
      const temperatures = Array<number>(samples).fill(1)
      return sampleLatents(lane, { model, adapter, support: whole, int8 }, { prompt, temperatures, draws })
    }
  const rewarding =
    (reward: (draws: Draws) => Reward) =>
    (int8: boolean): Phase =>
    (lane, prompt, draws) => {
      const tokenizer = undefined as unknown as Tokenizer // prompt and ending are tokens already
      return reward(draws).score({ lane, model: { ...model, int8 }, tokenizer, support, prompt }, latents(draws))
    }
  const learning =
    (int8: boolean): Phase =>
    (lane, prompt, draws) => {
      const drawn = latents(draws)
      const logRewards = drawn.map(() => Array.from({ length: latentTokens + 1 }, () => -40 + draws.normal()))
      const batch: LearnBatch = { prompt, latents: drawn, logRewards, logPartition: 0 }
      const objective = { name: 'subtrajectory-balance', lambda: 1 } as const
      return learnStep(lane, { model: { ...model, int8 }, adapter, support, objective }, batch)
    }
  const phases = {
    sampling,
    'reward, tempered': rewarding(() => tempered()),
    'reward, ending at every prefix': rewarding((draws) =>
      posterior({ ending: randomTokens(model, draws, endingTokens) }),
    ),
    learning,
  }
  const named = Object.entries(phases)
  return Object.fromEntries([
    ...named.map(([name, phase]) => [name, phase(false)]),
    ...named.map(([name, phase]) => [`${name}, int8`, phase(true)]), // last, for their memory stays
  ])
}
