/**
 * @file How well samplers draw from the posterior of held-out prompts. Every sampler gets the same prompts, the same limits
 * and the same number of samples. log Z is estimated from the mixture of all samplers, so that a poor one is not
 * flattered by what it never finds; Pareto k̂ says whether each sampler's own weights can be trusted (below 0.7).
 */

import type { LoraAdapter } from '../adapters/lora.ts'
import type { Lane } from '../models/lane.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { Random } from '../random.ts'
import type { Reward } from '../rewards/reward.ts'
import { type LatentRecord, recordOf } from '../sampling/latent.ts'
import type { Support } from '../sampling/support.ts'
import type { BoundTool } from '../sampling/tools.ts'
import { mean } from '../sums.ts'
import { distinctFraction, meanTokenDistance } from './diversity.ts'
import { type Estimate, meanEstimate } from './estimate.ts'
import { estimateLogPartition, klToPosterior, logWeights, mixtureLogWeights } from './log-partition.ts'
import { paretoSmoothed } from './pareto-smoothing.ts'
import { drawPool, type PoolPart } from './pool.ts'
import { normalisedWeights } from './posterior-expectation.ts'
import { estimatedFirstTokenEntropy, meanLength } from './shapes.ts'

/** A prompt to evaluate on, and the samplers to compare: a model with an adapter, or without (the base model). */
export type EvaluationPrompt = { name: string; tokens: readonly number[]; reward: Reward }
export type Samplers = Record<string, LoraAdapter | undefined>

/** One sampler on one prompt. */
export type SamplerResult = {
  meanLogReward: number
  /** Mean log-likelihood of its samples under the sampler itself, nats. */
  meanLogQ: number
  /** And under the base model, within the same limits. */
  meanLogBase: number
  /** The largest of the one and of the other: what search looks for. */
  bestLogQ: number
  bestLogBase: number
  /** KL(q ‖ posterior), nats. */
  kl: Estimate
  /** Of its own samples, as a fraction of them. */
  effectiveFraction: number
  /** Undefined where its largest weights are all alike. */
  paretoK: number | undefined
  /** Of log R − log q over its samples, nats²: each estimates log Z, and 0 means that all agree. */
  ratioVariance: number
  distinctFraction: number
  /** Mean pairwise edit distance of its samples, as a fraction of their length. */
  tokenDistance: number
  /** Mean length of its samples less that of the posterior, tokens: negative where it stops too early. */
  lengthBias: number
  /** Entropy of their first token less that of the posterior's, nats: negative where it has collapsed onto fewer beginnings. */
  firstTokenEntropyGap: number
  samples: (LatentRecord & { logQ: number; logReward: number })[]
}

/** What samples of the posterior are like, by the importance weights of all samples; NaN where every weight is zero. */
export type PosteriorMoments = {
  meanLogReward: number
  meanLogBase: number
  meanLength: number
  /** Of the first token, nats. */
  firstTokenEntropy: number
}

export type PromptEvaluation = {
  name: string
  logZ: Estimate
  posterior: PosteriorMoments
  samplers: Record<string, SamplerResult>
}

/** Means over prompts, with the standard error that the spread over prompts gives. */
export type EvaluationSummary = Record<string, Record<keyof typeof measures, Estimate>>

export type EvaluateOptions = {
  model: LanguageModel
  samplers: Samplers
  support: Support
  /** Adds to what any of them draws. */
  tool?: BoundTool
  prompts: readonly EvaluationPrompt[]
  /** Samples of each sampler for each prompt. */
  samples: number
  random: Random
  /** T of R^(1/T), the temperature that the samplers were trained for; default 1. */
  rewardTemperature?: number
  onPrompt?: (done: number, of: number) => void
}

/** Evaluates samplers on prompts; results are in the order of the prompts. */
export async function evaluateSamplers(options: EvaluateOptions): Promise<PromptEvaluation[]> {
  let done = 0
  return options.model.lanes.each(options.prompts, async (lane, prompt, i) => {
    const result = await evaluatePrompt(lane, options, prompt, i)
    options.onPrompt?.(++done, options.prompts.length)
    return result
  })
}

async function evaluatePrompt(
  lane: Lane,
  { model, samplers, support, tool, samples, random, rewardTemperature = 1 }: EvaluateOptions,
  prompt: EvaluationPrompt,
  index: number,
): Promise<PromptEvaluation> {
  const names = Object.keys(samplers)
  const isBaseAsked = names.some((sampler) => samplers[sampler] === undefined)
  const parts: PoolPart[] = [
    ...names.map((sampler) => ({
      adapter: samplers[sampler],
      count: samples,
      draws: random.at('evaluate', sampler, index),
    })),
    ...(isBaseAsked ? [] : [{ count: 0, draws: random.at('evaluate', 'base', index) }]), // to be scored under
  ]
  const pool = await drawPool(lane, { model, support, tool, rewardTemperature }, prompt, parts)
  const { latents, logTarget: logReward, logSamplers, counts } = pool
  const logBase = logSamplers[parts.findIndex(({ adapter }) => adapter === undefined)]
  const mixture = mixtureLogWeights({ logReward, logSamplers, counts })
  const { logZ } = estimateLogPartition(mixture)
  const posterior = posteriorMoments(mixture, { latents: latents.map(({ tokens }) => tokens), logReward, logBase })
  const equally = new Array<number>(samples).fill(1 / samples)
  const results = names.map((sampler, k): [string, SamplerResult] => {
    const own = <T>(values: readonly T[]) => values.slice(k * samples, (k + 1) * samples)
    const [ownReward, ownQ, ownLatents] = [own(logReward), own(logSamplers[k]), own(latents)]
    const ownTokens = ownLatents.map(({ tokens }) => tokens)
    const weights = logWeights({ logReward: ownReward, logSampler: ownQ })
    return [
      sampler,
      {
        meanLogReward: mean(ownReward),
        meanLogQ: mean(ownQ),
        meanLogBase: mean(own(logBase)),
        bestLogQ: Math.max(...ownQ),
        bestLogBase: Math.max(...own(logBase)),
        kl: klToPosterior(weights, logZ),
        effectiveFraction: estimateLogPartition(weights).effectiveFraction,
        paretoK: paretoSmoothed(weights).paretoK,
        ratioVariance: variance(ownReward.map((value, n) => value - ownQ[n])),
        distinctFraction: distinctFraction(ownTokens),
        tokenDistance: meanTokenDistance(ownTokens),
        lengthBias: meanLength(ownTokens, equally) - posterior.meanLength,
        firstTokenEntropyGap: estimatedFirstTokenEntropy(ownTokens, equally) - posterior.firstTokenEntropy,
        samples: ownLatents.map((latent, n) => ({ ...recordOf(latent), logQ: ownQ[n], logReward: ownReward[n] })),
      },
    ]
  })
  return { name: prompt.name, logZ, posterior, samplers: Object.fromEntries(results) }
}

function posteriorMoments(
  logWeights: ArrayLike<number>,
  { latents, logReward, logBase }: { latents: readonly (readonly number[])[]; logReward: number[]; logBase: number[] },
): PosteriorMoments {
  const nothing = Array.from(logWeights).every((value) => value === -Infinity)
  const weights = nothing ? logReward.map(() => Number.NaN) : normalisedWeights(logWeights)
  const mean = (values: readonly number[]) =>
    values.reduce((sum, value, i) => (weights[i] === 0 ? sum : sum + weights[i] * value), 0)
  return {
    meanLogReward: mean(logReward),
    meanLogBase: mean(logBase),
    meanLength: meanLength(latents, weights),
    firstTokenEntropy: estimatedFirstTokenEntropy(latents, weights),
  }
}

/** What of a sampler's result on one prompt is averaged over prompts. */
const measures = {
  logReward: ({ meanLogReward }) => meanLogReward,
  logQ: ({ meanLogQ }) => meanLogQ,
  logBase: ({ meanLogBase }) => meanLogBase,
  bestLogQ: ({ bestLogQ }) => bestLogQ,
  bestLogBase: ({ bestLogBase }) => bestLogBase,
  kl: ({ kl }) => kl.value,
  effectiveFraction: ({ effectiveFraction }) => effectiveFraction,
  paretoK: ({ paretoK }) => paretoK,
  ratioVariance: ({ ratioVariance }) => ratioVariance,
  distinctFraction: ({ distinctFraction }) => distinctFraction,
  tokenDistance: ({ tokenDistance }) => tokenDistance,
  lengthBias: ({ lengthBias }) => lengthBias,
  firstTokenEntropyGap: ({ firstTokenEntropyGap }) => firstTokenEntropyGap,
} satisfies Record<string, (result: SamplerResult) => number | undefined>

/** Means over prompts. A prompt without k̂ has no part in k̂'s mean. */
export function summarise(evaluations: readonly PromptEvaluation[]): EvaluationSummary {
  const names = Object.keys(evaluations[0]?.samplers ?? {})
  return Object.fromEntries(
    names.map((name) => {
      const results = evaluations.map(({ samplers }) => samplers[name])
      const means = Object.entries(measures).map(([measure, of]) => {
        const values = results.map(of).filter((value) => value !== undefined)
        return [measure, meanEstimate(values)] as const
      })
      return [name, Object.fromEntries(means) as EvaluationSummary[string]]
    }),
  )
}

const variance = (values: readonly number[]) => {
  const center = mean(values)
  return mean(values.map((value) => (value - center) ** 2))
}
