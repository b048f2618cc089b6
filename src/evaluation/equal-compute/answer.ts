/** @file What is measured of the latents that a method gave for one prompt. Its own measuring costs the method nothing. */

import type { BaselineName } from '../../baselines/index.ts'
import type { Query } from '../../baselines/method.ts'
import { logTargets, type Proposals } from '../../baselines/proposals.ts'
import { scoreUnderPolicy } from '../../gflownet/policy.ts'
import { logMeanExp } from '../../log-space.ts'
import type { Lane } from '../../models/lane.ts'
import { tokenLists } from '../../sampling/latent.ts'
import { mean } from '../../sums.ts'
import { distinctFraction, logGramDeterminant, meanPairwiseCosineDistance, meanTokenDistance } from '../diversity.ts'
import type { SentenceEncoder } from '../sentence-encoder.ts'
import type { Given } from './budgeted.ts'
import { methods } from './laws.ts'

/** Undefined where it cannot be known of a method, or of a single latent. */
export type AnswerMeasures = {
  /** log R^(1/T) of its latents, nats. */
  meanLogReward: number
  bestLogReward: number
  /** Log-likelihood under the base model, within the limits of latents, nats. */
  meanLogBase: number
  bestLogBase: number
  /** Under the distribution that the method draws from or searches in. */
  meanLogOwn: number | undefined
  bestLogOwn: number | undefined
  /** KL(q ‖ posterior), nats, q being how one of its latents is distributed; itself or a bound (`klKind` in laws.ts). */
  kl: number | undefined
  /** log Z less log Ẑ of the method's own weights, nats. */
  logZGap: number | undefined
  /**
   * Mean log R and the bound on KL if each of the N latents were resampled from proposals of its own, N-th parts of all. Then
   * they are as independent as plain samples, while those of one pool repeat each other.
   */
  independentLogReward: number | undefined
  independentKl: number | undefined
  distinctFraction: number
  /** Mean pairwise edit distance, as a fraction of the length. */
  tokenDistance: number | undefined
  /** Mean pairwise 1 − cosine of sentence embeddings; needs an encoder, like the next. */
  cosineDistance: number | undefined
  logGramDeterminant: number | undefined
  forwardTokens: number
  seconds: number
}

export type AnswerToMeasure = { method: BaselineName; given: Given; seconds: number; size: number }

/** What is held against log Z is told as if that were 0: see `againstLogZ`. */
export async function measureAnswer(
  lane: Lane,
  query: Query,
  { method, given, seconds, size }: AnswerToMeasure,
  encoder?: SentenceEncoder,
): Promise<AnswerMeasures> {
  const { sampler, prompt, tokenizer } = query
  const { latents } = given
  const lists = tokenLists(latents)
  const sequences = lists.latents
  const logReward = await logTargets(lane, query, latents)
  const under = async (adapter: typeof sampler.adapter) =>
    (await scoreUnderPolicy(lane, { ...sampler, adapter }, { prompt, ...lists })).map(({ logQ }) => logQ)
  const logBase = await under(undefined)
  const logSampler = sampler.adapter ? await under(sampler.adapter) : logBase
  const several = latents.length > 1
  const embeddings =
    encoder && several
      ? await encoder.embed(sequences.map((tokens) => tokenizer.decodeContinuation(tokens)))
      : undefined
  return {
    meanLogReward: mean(logReward),
    bestLogReward: Math.max(...logReward),
    meanLogBase: mean(logBase),
    bestLogBase: Math.max(...logBase),
    meanLogOwn: given.logQ && mean(given.logQ),
    bestLogOwn: given.logQ && Math.max(...given.logQ),
    kl: klOf(method, { sequences, logReward, logQ: given.logQ, logSampler, ownLogZ: given.logZ, size }),
    logZGap: given.logZ === undefined ? undefined : -given.logZ,
    ...independently(given.proposals, size),
    distinctFraction: distinctFraction(sequences),
    tokenDistance: several ? meanTokenDistance(sequences) : undefined,
    cosineDistance: embeddings && meanPairwiseCosineDistance(embeddings),
    logGramDeterminant: embeddings && logGramDeterminant(embeddings),
    forwardTokens: given.cost.forwardTokens,
    seconds,
  }
}

/** @param logZ of R^(1/T), nats */
export function againstLogZ(measures: AnswerMeasures, logZ: number): AnswerMeasures {
  const { kl, logZGap, independentKl } = measures
  const above = (value: number | undefined) => (value === undefined ? undefined : value + logZ)
  return { ...measures, kl: above(kl), logZGap: above(logZGap), independentKl: above(independentKl) }
}

type KlTerms = {
  sequences: readonly (readonly number[])[]
  logReward: readonly number[]
  logQ: readonly number[] | undefined
  /** log q of the sampler that was decoded or proposed from. */
  logSampler: readonly number[]
  ownLogZ: number | undefined
  size: number
}

function klOf(
  method: BaselineName,
  { sequences, logReward, logQ, logSampler, ownLogZ, size }: KlTerms,
): number | undefined {
  const excess = (logs: readonly number[]) => mean(logs.map((log, i) => log - logReward[i]))
  switch (methods[method].law) {
    case 'tokens':
      return excess(logQ!)
    case 'search':
      return excess(logShares(sequences))
    case 'weights':
      return -ownLogZ!
    case 'best':
      return Math.log(size) - (size - 1) / size + excess(logSampler)
    case 'chain':
      return undefined
  }
}

function independently(
  proposals: Proposals | undefined,
  size: number,
): Pick<AnswerMeasures, 'independentLogReward' | 'independentKl'> {
  if (!proposals) return { independentLogReward: undefined, independentKl: undefined }
  const { logWeights, logTarget } = proposals
  const parts = Array.from({ length: logWeights.length / size }, (_, n) => {
    const own = <T>(values: readonly T[]) => values.slice(n * size, (n + 1) * size)
    const logMean = logMeanExp(own(logWeights))
    const shares = own(logWeights).map((logWeight) => Math.exp(logWeight - logMean) / size)
    const rewards = own(logTarget)
    return {
      logMean,
      logReward: shares.reduce((sum, share, i) => (share === 0 ? sum : sum + share * rewards[i]), 0),
    }
  })
  const isPossible = parts.every(({ logMean }) => logMean > -Infinity)
  return {
    independentLogReward: isPossible ? mean(parts.map(({ logReward }) => logReward)) : -Infinity,
    independentKl: -mean(parts.map(({ logMean }) => logMean)),
  }
}

/** Log of the fraction of latents that are equal to each. */
function logShares(sequences: readonly (readonly number[])[]): number[] {
  const keys = sequences.map((tokens) => tokens.join())
  return keys.map((key) => Math.log(keys.filter((other) => other === key).length / keys.length))
}
