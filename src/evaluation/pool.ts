/** @file Samples of several samplers for one prompt, put together: each is scored by the reward and under every sampler. */
import type { LoraAdapter } from '../adapters/lora.ts'
import { scoreUnderPolicy } from '../gflownet/policy.ts'
import { temperedRewards } from '../gflownet/reward-temperature.ts'
import type { Lane } from '../models/lane.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { Draws } from '../random.ts'
import type { Reward } from '../rewards/reward.ts'
import { type Latent, tokenLists } from '../sampling/latent.ts'
import { sampleWithTool } from '../sampling/sample.ts'
import type { Support } from '../sampling/support.ts'
import type { BoundTool } from '../sampling/tools.ts'

/** How many samples an adapter, or the base model without one, gives: 0 to score others' samples only. */
export type PoolPart = { adapter?: LoraAdapter; count: number; draws: Draws }

export type Pool = {
  /** [samples], those of the first part first. */
  latents: Latent[]
  /** [samples], log R of the whole latent, untempered, nats. */
  logReward: number[]
  /** [samples], log R^(1/T) of the whole latent, nats. */
  logTarget: number[]
  /** [parts][samples], log q of every latent under the sampler of each part, nats. */
  logSamplers: number[][]
  /** [parts]. */
  counts: number[]
}

/** Draws every part's samples for a prompt and scores them all under each. */
export async function drawPool(
  lane: Lane,
  {
    model,
    support,
    tool,
    rewardTemperature,
  }: { model: LanguageModel; support: Support; tool?: BoundTool; rewardTemperature: number },
  { tokens: prompt, reward }: { tokens: readonly number[]; reward: Reward },
  parts: readonly PoolPart[],
): Promise<Pool> {
  const { description, tokenizer } = model
  const latents: Latent[] = []
  for (const { adapter, count, draws } of parts) {
    if (count === 0) continue // only scored under
    const temperatures = new Array<number>(count).fill(1)
    const sampler = { model: description, adapter, support, tool }
    latents.push(...(await sampleWithTool(lane, sampler, { prompt, temperatures, draws })))
  }
  const lists = tokenLists(latents)
  const context = { lane, model: description, tokenizer, support, prompt, inserted: lists.inserted, onlyWhole: true }
  const scored = await reward.score(context, lists.latents)
  const whole = (rows: readonly ArrayLike<number>[]) => rows.map((row) => row[row.length - 1])
  const logSamplers: number[][] = []
  for (const { adapter } of parts) {
    const scores = await scoreUnderPolicy(lane, { model: description, adapter, support }, { prompt, ...lists })
    logSamplers.push(scores.map(({ logQ }) => logQ))
  }
  return {
    latents,
    logReward: whole(scored.logReward),
    logTarget: whole(temperedRewards(scored, rewardTemperature)),
    logSamplers,
    counts: parts.map(({ count }) => count),
  }
}
