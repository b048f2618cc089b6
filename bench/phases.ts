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

/** Every latent has the full length. */
export function phasesOf(
  model: ModelDescription,
  adapter: LoraAdapter,
  { samples, latentTokens, endingTokens }: { samples: number; latentTokens: number; endingTokens: number },
) {
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
    (reward: (draws: Draws) => Reward): Phase =>
    (lane, prompt, draws) => {
      const tokenizer = undefined as unknown as Tokenizer // prompt and ending are tokens already
      return reward(draws).score({ lane, model, tokenizer, support, prompt }, latents(draws))
    }
  const learning: Phase = (lane, prompt, draws) => {
    const drawn = latents(draws)
    const logRewards = drawn.map(() => Array.from({ length: latentTokens + 1 }, () => -40 + draws.normal()))
    const batch: LearnBatch = { prompt, latents: drawn, logRewards, logPartition: 0 }
    return learnStep(lane, { model, adapter, support, objective: { name: 'subtrajectory-balance', lambda: 1 } }, batch)
  }
  return {
    sampling: sampling(false),
    'sampling, int8': sampling(true),
    'reward, tempered': rewarding(() => tempered()),
    'reward, ending at every prefix': rewarding((draws) =>
      posterior({ ending: randomTokens(model, draws, endingTokens) }),
    ),
    learning,
  } satisfies Record<string, Phase>
}
