/** @file Rewards made of rewards: product, power, and terms that a reward temperature leaves alone. */
import type { LoraAdapter } from '../adapters/lora.ts'
import { UserError } from '../errors.ts'
import { scoreTogether } from './likelihood.ts'
import {
  type PrefixRewards,
  type PrefixValues,
  type Reward,
  type RewardContext,
  type ScoreLatents,
  sumParts,
} from './reward.ts'

/**
 * R = Π R_k. Its parts are those of its factors; where two have a part of the same name, the later ones are called by
 * their factor's name as well, as in `posterior ending`.
 */
export function product(...factors: readonly Reward[]): Reward {
  if (factors.length === 0)
    throw new UserError({ what: 'a product of no rewards', where: 'reward', fix: 'give at least one' })
  return {
    name: factors.map(({ name }) => name).join(' × '),
    score: async (context, latents) => {
      const parts: Record<string, PrefixValues> = {}
      const untempered: string[] = []
      const all = await scoreTogether(
        factors.map(({ score }) => score),
        context,
        latents,
      )
      for (const [k, scored] of all.entries()) {
        const factor = factors[k].name
        for (const [name, values] of Object.entries(termsOf(factor, scored))) {
          const unique = freeName([name, `${factor} ${name}`], parts)
          parts[unique] = values
          if (scored.untempered?.includes(name)) untempered.push(unique)
        }
      }
      return { ...sumParts(context, latents, parts), untempered }
    },
    check: async (context) => {
      for (const factor of factors) await factor.check?.(context)
    },
  }
}

/** R^exponent, part by part. */
export function power(reward: Reward, exponent: number): Reward {
  if (!Number.isFinite(exponent))
    throw new UserError({ what: `exponent ${exponent}`, where: `reward "${reward.name}"`, fix: 'give a finite number' })
  const raised = changed(reward, (context, latents, scored) => {
    const parts = Object.entries(termsOf(reward.name, scored)).map(([name, values]) => [name, times(values, exponent)])
    return { ...sumParts(context, latents, Object.fromEntries(parts)), untempered: scored.untempered }
  })
  return { ...raised, name: `${reward.name}^${exponent}` }
}

/** The same reward, of which a reward temperature tempers nothing: c(Z) in p(Z | X)^(1/T) · c(Z). */
export const untempered = (reward: Reward): Reward =>
  changed(reward, (_context, _latents, scored): PrefixRewards => {
    const parts = termsOf(reward.name, scored)
    return { ...scored, parts, untempered: Object.keys(parts) }
  })

/** A reward with another value made of its own. What it asks stays the same. */
function changed(
  reward: Reward,
  change: (context: RewardContext, latents: readonly (readonly number[])[], scored: PrefixRewards) => PrefixRewards,
): Reward {
  const { likelihood } = reward.score
  const score: ScoreLatents = async (context, latents) => change(context, latents, await reward.score(context, latents))
  score.likelihood = likelihood && {
    ask: likelihood.ask,
    answer: (context, latents, found) => change(context, latents, likelihood.answer(context, latents, found)),
  }
  return { ...reward, score }
}

/** The same reward under a reference model that has an adapter of its own. */
export const underReference = (reward: Reward, adapter: LoraAdapter): Reward => ({
  ...reward,
  score: (context, latents) => reward.score({ ...context, adapter }, latents),
})

/** The terms of a reward; one that names none is one term. */
const termsOf = (name: string, { logReward, parts }: PrefixRewards): Record<string, PrefixValues> =>
  Object.keys(parts).length > 0 ? parts : { [name]: logReward }

/** Values at every prefix, each times a factor. */
export const times = (values: PrefixValues, factor: number): PrefixValues =>
  values.map((row) => row.map((value) => factor * value))

/** The first of the names that is free, or the last one with a number. */
function freeName(names: readonly string[], taken: Record<string, unknown>): string {
  const free = names.find((name) => !Object.hasOwn(taken, name))
  if (free !== undefined) return free
  const last = names[names.length - 1]
  let count = 2
  while (Object.hasOwn(taken, `${last} (${count})`)) count++
  return `${last} (${count})`
}
