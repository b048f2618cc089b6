/**
 * @file Samples with what they stand for in the posterior R^(1/T) / Z: their importance weights, and how far these are to be
 * trusted; or fewer samples, drawn by those weights from a pool. A sampler that is not perfect is made better by computing.
 */
import { UserError } from '../errors.ts'
import { estimateLogPartition, type LogPartition, mixtureLogWeights } from '../evaluation/log-partition.ts'
import { paretoSmoothed } from '../evaluation/pareto-smoothing.ts'
import { drawPool } from '../evaluation/pool.ts'
import { normalisedWeights, resample } from '../evaluation/posterior-expectation.ts'
import type { Random } from '../random.ts'
import { recordOf } from '../sampling/latent.ts'
import type { TrainingConfig } from '../trainers/config.ts'
import type { Prompt } from '../trainers/prompts.ts'
import type { ModelSampler, ScoredSample } from './draw.ts'

/** The weight is the sample's share of the posterior; the shares of all samples sum to 1. */
export type WeightedSample = ScoredSample & { weight: number }

/** How far weights are to be trusted; log Z is that of R^(1/T), nats. */
export type WeightQuality = LogPartition & { paretoK?: number; rewardTemperature: number }

export type WeightedDraw = { quality: WeightQuality; samples: WeightedSample[] }

type PosteriorSampler = ModelSampler & { rewardTemperature: number }

/** T of the density that a run's sampler was trained for: where the schedule leads, however long it was. */
export const targetTemperature = ({ rewardTemperature: target }: Pick<TrainingConfig, 'rewardTemperature'>) =>
  typeof target === 'number' ? target : target.to

/** Draws as `drawScored` does, and weighs each sample by R^(1/T) / q. */
export const drawWeighted = (sampler: PosteriorSampler, prompt: Prompt, count: number, random: Random) =>
  weighted(sampler, prompt, { tuned: count, base: 0 }, random)

/**
 * Draws a pool, half of it from the base model where there is an adapter, and resamples it by weights of the mixture: what
 * one sampler misses is in the care of the other. The quality is that of the pool.
 */
export async function drawResampled(
  sampler: PosteriorSampler,
  prompt: Prompt,
  { samples, pool }: { samples: number; pool: number },
  random: Random,
): Promise<{ quality: WeightQuality; samples: ScoredSample[] }> {
  const base = sampler.adapter ? Math.floor(pool / 2) : 0
  const { quality, samples: drawn } = await weighted(sampler, prompt, { tuned: pool - base, base }, random)
  const logWeights = drawn.map(({ weight }) => Math.log(weight))
  const chosen = resample(logWeights, samples, random.at('resample')).map((index) => drawn[index])
  return { quality, samples: chosen.map(({ weight: _, ...sample }) => sample) }
}

async function weighted(
  { adapter, ...limits }: PosteriorSampler,
  prompt: Prompt,
  counts: { tuned: number; base: number },
  random: Random,
): Promise<WeightedDraw> {
  const tuned = { adapter, count: counts.tuned, draws: random.at('sample') }
  const base = { count: counts.base, draws: random.at('sample', 'base') }
  const parts = counts.base > 0 ? [tuned, base] : [tuned]
  const { model, rewardTemperature } = limits
  const pool = await model.lanes.use((lane) => drawPool(lane, limits, prompt, parts))
  const { latents, logReward, logTarget, logSamplers } = pool
  const logWeights = mixtureLogWeights({ ...pool, logReward: logTarget })
  const partition = estimateLogPartition(logWeights)
  if (partition.effectiveSamples === 0)
    throw new UserError(
      { what: 'the reward of every sample is zero', where: prompt.name, fix: 'draw more, or train the sampler' },
      1,
    )
  const weights = normalisedWeights(logWeights)
  return {
    quality: { ...partition, paretoK: paretoSmoothed(logWeights).paretoK, rewardTemperature },
    samples: latents.map((latent, n) => ({
      prompt: prompt.name,
      text: model.tokenizer.decodeContinuation(latent.tokens),
      ...recordOf(latent),
      logQ: logSamplers[0][n],
      logReward: logReward[n],
      weight: weights[n],
    })),
  }
}
