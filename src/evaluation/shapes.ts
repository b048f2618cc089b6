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
 * The same estimated from samples, corrected for what few of them miss by the first order of its bias, ½ Σ_t Var(p_t) / p_t over the
 * tokens t; for equal weights that is Miller and Madow's (tokens seen − 1) / 2n. Where few samples have all the weight it
 * is still too low.
 */
export function estimatedFirstTokenEntropy(latents: Latents, weights: ArrayLike<number>): number {
  const seen = [...firstTokenMasses(latents, weights)].filter(([, mass]) => mass > 0)
  const terms = seen.map(([token, mass]) => {
    const variance = latents.reduce(
      (sum, [first], i) => sum + (weights[i] * ((first === token ? 1 : 0) - mass)) ** 2,
      0,
    )
    return variance / mass
  })
  return firstTokenEntropy(latents, weights) + terms.reduce((a, b) => a + b, 0) / 2
}

function firstTokenMasses(latents: Latents, weights: ArrayLike<number>): Map<number | undefined, number> {
  const masses = new Map<number | undefined, number>()
  for (const [i, [first]] of latents.entries()) masses.set(first, (masses.get(first) ?? 0) + weights[i])
  return masses
}
