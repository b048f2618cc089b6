/** @file Samples of one prompt with what the sampler and the reward say of them. */
import type { LoraAdapter } from '../adapters/lora.ts'
import { scoreUnderPolicy } from '../gflownet/policy.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { Draws } from '../random.ts'
import { type LatentRecord, recordOf, tokenLists } from '../sampling/latent.ts'
import { sampleWithTool } from '../sampling/sample.ts'
import type { Support } from '../sampling/support.ts'
import type { BoundTool } from '../sampling/tools.ts'
import type { Prompt } from '../trainers/prompts.ts'

/** A latent without ⊤, which is counted in log q and log R, both in nats. */
export type ScoredSample = LatentRecord & { prompt: string; text: string; logQ: number; logReward: number }

/** A model with or without an adapter, the latents that it may produce, and the tool that adds to them, if there is one. */
export type ModelSampler = { model: LanguageModel; adapter?: LoraAdapter; support: Support; tool?: BoundTool }

/** Draws from the model, with its adapter if it has one. log R is untempered. */
export const drawScored = (
  { model, ...limits }: ModelSampler,
  { name, tokens: prompt, reward }: Prompt,
  { samples, draws }: { samples: number; draws: Draws },
): Promise<ScoredSample[]> =>
  model.lanes.use(async (lane) => {
    const { description, tokenizer } = model
    const sampler = { model: description, ...limits }
    const temperatures = new Array<number>(samples).fill(1)
    const drawn = await sampleWithTool(lane, sampler, { prompt, temperatures, draws })
    const { latents, inserted } = tokenLists(drawn)
    const scores = await scoreUnderPolicy(lane, sampler, { prompt, latents, inserted })
    const { support } = limits
    const context = { lane, model: description, tokenizer, support, prompt, inserted, onlyWhole: true }
    const { logReward } = await reward.score(context, latents)
    return drawn.map((latent, n) => ({
      prompt: name,
      text: tokenizer.decodeContinuation(latent.tokens),
      ...recordOf(latent),
      logQ: scores[n].logQ,
      logReward: logReward[n][latent.tokens.length],
    }))
  })
