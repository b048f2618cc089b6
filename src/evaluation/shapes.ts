/**
 * @file In what way a sampler is off, beyond how far: does it stop too early or too late, and has it collapsed onto fewer
 * beginnings than the posterior has?
 */
import { entropy } from './divergence.ts'

type Latents = readonly (readonly number[])[]

/** Tokens without ⊤. @param weights  [latents], sum to 1 */
export const meanLength = (latents: Latents, weights: ArrayLike<number>): number =>
  latents.reduce((sum, { length }, i) => sum + weights[i] * length, 0)

/** Entropy of the first token, ⊤ among the tokens, nats. @param weights  [latents], sum to 1 */
export const firstTokenEntropy = (latents: Latents, weights: ArrayLike<number>): number =>
  entropy([...firstTokenMasses(latents, weights).values()].map(Math.log))

/**
 * The same estimated from samples, with Miller and Madow's correction for what few samples miss: (tokens seen − 1) / 2n, n
 * being the effective number of samples, 1 / Σ w².
 */
export function estimatedFirstTokenEntropy(latents: Latents, weights: ArrayLike<number>): number {
  const seen = [...firstTokenMasses(latents, weights).values()].filter((mass) => mass > 0).length
  const squares = Array.from(weights).reduce((sum, weight) => sum + weight ** 2, 0)
  return firstTokenEntropy(latents, weights) + ((seen - 1) * squares) / 2
}

function firstTokenMasses(latents: Latents, weights: ArrayLike<number>): Map<number | undefined, number> {
  const masses = new Map<number | undefined, number>()
  for (const [i, [first]] of latents.entries()) masses.set(first, (masses.get(first) ?? 0) + weights[i])
  return masses
}
