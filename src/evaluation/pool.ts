/** @file Samples of several samplers for one prompt, put together: each is scored by the reward and under every sampler. */
import type { LoraAdapter } from '../adapters/lora.ts'
import { scoreUnderPolicy } from '../gflownet/policy.ts'
import { temperedRewards } from '../gflownet/reward-temperature.ts'
import type { Lane } from '../models/lane.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { Draws } from '../random.ts'
import type { Reward } from '../rewards/reward.ts'
import { sampleLatents } from '../sampling/sample.ts'
import type { Support } from '../sampling/support.ts'

/** How many samples an adapter, or the base model without one, gives: 0 to score others' samples only. */
export type PoolPart = { adapter?: LoraAdapter; count: number; draws: Draws }

export type Pool = {
  /** [samples], those of the first part first. */
  latents: number[][]
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
  { model, support, rewardTemperature }: { model: LanguageModel; support: Support; rewardTemperature: number },
  { tokens: prompt, reward }: { tokens: readonly number[]; reward: Reward },
  parts: readonly PoolPart[],
): Promise<Pool> {
  const { description, tokenizer } = model
  const latents: number[][] = []
  for (const { adapter, count, draws } of parts) {
    if (count === 0) continue // only scored under
    const temperatures = new Array<number>(count).fill(1)
    latents.push(
      ...(await sampleLatents(lane, { model: description, adapter, support }, { prompt, temperatures, draws })),
    )
  }
  const context = { lane, model: description, tokenizer, support, prompt, onlyWhole: true }
  const scored = await reward.score(context, latents)
  const whole = (rows: readonly ArrayLike<number>[]) => rows.map((row) => row[row.length - 1])
  const logSamplers: number[][] = []
  for (const { adapter } of parts) {
    const scores = await scoreUnderPolicy(lane, { model: description, adapter, support }, { prompt, latents })
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
