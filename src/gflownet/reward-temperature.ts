/** @file The reward at a temperature. Rewards are stored untempered, so today's temperature is arithmetic on stored numbers. */
import type { PrefixRewards, PrefixValues } from '../rewards/reward.ts'

/**
 * log of R^(1/T) at every prefix: (log R − Σ untempered) / T + Σ untempered. A reward of zero stays zero at every temperature.
 * @param logReward    [prefixes], nats
 * @param temperature  T > 0
 * @param untempered   the part of `logReward` that the temperature leaves alone, [prefixes]; e.g. the constraint c(Z)
 *                     in p(Z given X)^(1/T) · c(Z)
 */
export function temperedLogReward(
  logReward: ArrayLike<number>,
  temperature: number,
  untempered?: ArrayLike<number>,
): Float64Array {
  return Float64Array.from(logReward, (total, prefix) => {
    if (total === -Infinity) return -Infinity // a term may be −Infinity too, and their difference is NaN
    const constant = untempered ? untempered[prefix] : 0
    return (total - constant) / temperature + constant
  })
}

/** What a reward temperature leaves alone of each latent's log-reward, at every prefix; undefined where it tempers all. */
export function untemperedTerms({ logReward, parts, untempered = [] }: PrefixRewards): PrefixValues | undefined {
  if (untempered.length === 0) return undefined
  return logReward.map((row, n) =>
    row.map((_, prefix) => untempered.reduce((sum, name) => sum + parts[name][n][prefix], 0)),
  )
}

/** log of R^(1/T) of latents as a reward scored them, at every prefix. */
export function temperedRewards(scored: PrefixRewards, temperature: number): Float64Array[] {
  const untempered = untemperedTerms(scored)
  return scored.logReward.map((row, n) => temperedLogReward(row, temperature, untempered?.[n]))
}
