/**
 * @file How well samplers draw from the posterior of held-out prompts. Every sampler gets the same prompts, the same limits
 * and the same number of samples. log Z is estimated from the mixture of all samplers, so that a poor one is not
 * flattered by what it never finds; Pareto k̂ says whether each sampler's own weights can be trusted (below 0.7).
 */
import type { LoraAdapter } from '../adapters/lora.ts'
import { scoreUnderPolicy } from '../gflownet/policy.ts'
import { temperedRewards } from '../gflownet/reward-temperature.ts'
import type { Lane } from '../models/lane.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { Random } from '../random.ts'
import type { Reward } from '../rewards/reward.ts'
import { sampleLatents } from '../sampling/sample.ts'
import type { Support } from '../sampling/support.ts'
import { distinctFraction, meanTokenDistance } from './diversity.ts'
import { type Estimate, meanEstimate } from './estimate.ts'
import { estimateLogPartition, klToPosterior, logWeights, mixtureLogWeights } from './log-partition.ts'
import { paretoSmoothed } from './pareto-smoothing.ts'

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
  samples: { tokens: readonly number[]; logQ: number; logReward: number }[]
}

export type PromptEvaluation = { name: string; logZ: Estimate; samplers: Record<string, SamplerResult> }

/** Means over prompts, with the standard error that the spread over prompts gives. */
export type EvaluationSummary = Record<string, Record<keyof typeof measures, Estimate>>

export type EvaluateOptions = {
  model: LanguageModel
  samplers: Samplers
  support: Support
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
  { model, samplers, support, samples, random, rewardTemperature = 1 }: EvaluateOptions,
  { name, tokens: prompt, reward }: EvaluationPrompt,
  index: number,
): Promise<PromptEvaluation> {
  const { description, tokenizer } = model
  const names = Object.keys(samplers)
  const drawn: number[][][] = []
  for (const sampler of names) {
    const draws = random.at('evaluate', sampler, index)
    const temperatures = new Array<number>(samples).fill(1)
    drawn.push(
      await sampleLatents(
        lane,
        { model: description, adapter: samplers[sampler], support },
        { prompt, temperatures, draws },
      ),
    )
  }
  const latents = drawn.flat()
  const context = { lane, model: description, tokenizer, support, prompt, onlyWhole: true }
  const atPrefixes = temperedRewards(await reward.score(context, latents), rewardTemperature)
  const logReward = atPrefixes.map((row) => row[row.length - 1])
  const logQUnder = async (adapter?: LoraAdapter) =>
    (await scoreUnderPolicy(lane, { model: description, adapter, support }, { prompt, latents })).map(
      ({ logQ }) => logQ,
    )
  const logQ: number[][] = []
  for (const sampler of names) logQ.push(await logQUnder(samplers[sampler]))
  const base = names.findIndex((sampler) => samplers[sampler] === undefined)
  const logBase = base >= 0 ? logQ[base] : await logQUnder(undefined)

  const counts = names.map(() => samples)
  const { logZ } = estimateLogPartition(mixtureLogWeights({ logReward, logSamplers: logQ, counts }))
  const results = names.map((sampler, k): [string, SamplerResult] => {
    const own = <T>(values: readonly T[]) => values.slice(k * samples, (k + 1) * samples)
    const [ownReward, ownQ, ownLatents] = [own(logReward), own(logQ[k]), own(latents)]
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
        distinctFraction: distinctFraction(ownLatents),
        tokenDistance: meanTokenDistance(ownLatents),
        samples: ownLatents.map((tokens, n) => ({ tokens, logQ: ownQ[n], logReward: ownReward[n] })),
      },
    ]
  })
  return { name, logZ, samplers: Object.fromEntries(results) }
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

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

const variance = (values: readonly number[]) => {
  const center = mean(values)
  return mean(values.map((value) => (value - center) ** 2))
}
