/** @file The reward at a temperature. Rewards are stored untempered, so today's temperature is arithmetic on stored numbers. */

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
