/** @file Samples of one prompt with what the sampler and the reward say of them. */
import type { LoraAdapter } from '../adapters/lora.ts'
import { scoreUnderPolicy } from '../gflownet/policy.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { Draws } from '../random.ts'
import { sampleLatents } from '../sampling/sample.ts'
import type { Support } from '../sampling/support.ts'
import type { Prompt } from '../trainers/prompts.ts'

/** A latent without ⊤, which is counted in log q and log R, both in nats. */
export type ScoredSample = { prompt: string; text: string; tokens: number[]; logQ: number; logReward: number }

/** Draws from the model, with its adapter if it has one. log R is untempered. */
export const drawScored = (
  { model, adapter, support }: { model: LanguageModel; adapter?: LoraAdapter; support: Support },
  { name, tokens: prompt, reward }: Prompt,
  { samples, draws }: { samples: number; draws: Draws },
): Promise<ScoredSample[]> =>
  model.lanes.use(async (lane) => {
    const { description, tokenizer } = model
    const sampler = { model: description, adapter, support }
    const temperatures = new Array<number>(samples).fill(1)
    const latents = await sampleLatents(lane, sampler, { prompt, temperatures, draws })
    const scores = await scoreUnderPolicy(lane, sampler, { prompt, latents })
    const context = { lane, model: description, tokenizer, support, prompt, onlyWhole: true }
    const { logReward } = await reward.score(context, latents)
    return latents.map((tokens, n) => ({
      prompt: name,
      text: tokenizer.decodeContinuation(tokens),
      tokens,
      logQ: scores[n].logQ,
      logReward: logReward[n][tokens.length],
    }))
  })
