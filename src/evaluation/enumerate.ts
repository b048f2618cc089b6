/**
 * @file The exact posterior of a small problem: every possible latent is listed, so that log Z, the posterior and the
 * sampler's own distribution are known without sampling noise.
 */
import type { LoraAdapter } from '../adapters/lora.ts'
import { scoreUnderPolicy } from '../gflownet/policy.ts'
import { temperedRewards } from '../gflownet/reward-temperature.ts'
import { logSumExp } from '../log-space.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { Reward } from '../rewards/reward.ts'
import { type TokenLists, tokenLists } from '../sampling/latent.ts'
import type { Support } from '../sampling/support.ts'
import type { BoundTool } from '../sampling/tools.ts'
import { latentOf } from '../sampling/with-action.ts'
import { entropy, klDivergence, normaliseLog, totalVariation } from './divergence.ts'
import { firstTokenEntropy, meanLength } from './shapes.ts'

/** More latents than this are no small problem. */
const MAX_LATENTS = 1_000_000
/** Latents in one pass. */
const AT_ONCE = 2_000

/** Every latent of the support, shorter ones first. @throws Error where there are more than a million */
export function enumerateLatents({ bias, stop, minTokens, maxTokens }: Support, vocabulary: number): number[][] {
  const tokens = Array.from({ length: vocabulary }, (_, token) => token).filter(
    (token) => token !== stop && (!bias || bias[token] === 0),
  )
  const all: number[][] = []
  let longest: number[][] = [[]]
  for (let length = 0; length <= maxTokens; length++) {
    const count = length === 0 ? 1 : longest.length * tokens.length
    if (all.length + count > MAX_LATENTS) throw new Error(`more than ${MAX_LATENTS} latents to enumerate`)
    if (length > 0) longest = longest.flatMap((latent) => tokens.map((token) => [...latent, token]))
    if (length >= minTokens) for (const latent of longest) all.push(latent)
  }
  return all
}

export type EnumeratedProblem = TokenLists & { model: LanguageModel; support: Support; prompt: readonly number[] }

/** The problem where a tool adds to what its latents choose. */
export async function withTool<Problem extends EnumeratedProblem>(problem: Problem, tool: BoundTool): Promise<Problem> {
  const { model, support, prompt, latents } = problem
  const limits = { support, tool, room: model.description.dimensions.contextLength - prompt.length }
  return { ...problem, ...tokenLists(await Promise.all(latents.map((actions) => latentOf(actions, limits)))) }
}

/** log of R^(1/T) of every latent, nats; untempered where no temperature is given. */
export async function enumerateRewards(
  { model, support, prompt, ...lists }: EnumeratedProblem,
  reward: Reward,
  temperature = 1,
): Promise<number[]> {
  const { description, tokenizer, lanes } = model
  const values = await lanes.each(inParts(lists), async (lane, { latents, inserted }) => {
    const context = { lane, model: description, tokenizer, support, prompt, inserted, onlyWhole: true }
    const rewards = temperedRewards(await reward.score(context, latents), temperature)
    return rewards.map((row) => row[row.length - 1])
  })
  return values.flat()
}

/** log q of every latent under an adapter, or under the base model without one. Sums to 1 over the support. */
export async function enumeratePolicy(
  { model, support, prompt, ...lists }: EnumeratedProblem,
  adapter?: LoraAdapter,
): Promise<number[]> {
  const values = await model.lanes.each(inParts(lists), async (lane, part) => {
    const policy = { model: model.description, adapter, support }
    return (await scoreUnderPolicy(lane, policy, { prompt, ...part })).map(({ logQ }) => logQ)
  })
  return values.flat()
}

/** How far a sampler is from the posterior R^(1/T) / Z, exactly; entropies and divergences in nats. */
export function compareExactly(logReward: readonly number[], logQ: readonly number[], temperature = 1) {
  const tempered = logReward.map((value) => value / temperature)
  const posterior = normaliseLog(tempered)
  return {
    logZ: logSumExp(tempered),
    entropy: entropy(posterior),
    totalVariation: totalVariation(posterior, logQ),
    klToPosterior: klDivergence({ of: logQ, from: posterior }),
    klFromPosterior: klDivergence({ of: posterior, from: logQ }),
  }
}

/**
 * In what way a sampler is off, exactly. A negative entropy gap says that it has collapsed onto fewer first tokens than the
 * posterior has, a negative length bias that it stops too early.
 */
export function compareShapes(
  latents: EnumeratedProblem['latents'],
  { posterior, sampler }: { posterior: ArrayLike<number>; sampler: ArrayLike<number> },
) {
  const [ofPosterior, ofSampler] = [posterior, sampler].map((logP) => Array.from(logP, Math.exp))
  return {
    /** Mean length under the sampler less that under the posterior, tokens. */
    lengthBias: meanLength(latents, ofSampler) - meanLength(latents, ofPosterior),
    /** Entropy of the first token, ⊤ among them, under the sampler less that under the posterior, nats. */
    firstTokenEntropyGap: firstTokenEntropy(latents, ofSampler) - firstTokenEntropy(latents, ofPosterior),
  }
}

const inParts = ({ latents, inserted }: TokenLists): TokenLists[] =>
  Array.from({ length: Math.ceil(latents.length / AT_ONCE) }, (_, i) => {
    const [from, to] = [i * AT_ONCE, (i + 1) * AT_ONCE]
    return { latents: latents.slice(from, to), inserted: inserted?.slice(from, to) }
  })
