/**
 * @file Nucleus (top-p) sampling: every token from the smallest set of most likely tokens whose probabilities sum to at least p
 * (Holtzman et al. 2020, arXiv 1904.09751).
 */
import { drawLatents } from './draw-latents.ts'
import { inferenceMethod, requirePositive } from './method.ts'
import type { LogProbabilities } from './next-tokens.ts'

/** @param mass p; 0.95 in Hu et al. 2024, section 4.1. @throws UserError where it is not above 0 and at most 1 */
export function nucleus(mass = 0.95) {
  requirePositive('p', mass, 1)
  return inferenceMethod(`nucleus, p = ${mass}`, (lane, query) =>
    drawLatents(lane, query, (next) => keepNucleus(next, mass)),
  )
}

/** The nucleus, with tokens as likely as the last of it; −∞ elsewhere. ⊤ is a token like others. */
export function keepNucleus(next: LogProbabilities, mass: number): Float32Array {
  if (mass >= 1) return next
  // All tokens rarer than this are together less than 1 − p, so none is in the nucleus: few are left to sort.
  const rare = Math.log((1 - mass) / next.length)
  const likely = next
    .filter((value) => value >= rare)
    .sort()
    .reverse()
  let sum = 0
  const last = likely.findIndex((value) => {
    sum += Math.exp(value)
    return sum >= mass
  })
  const threshold = likely[last < 0 ? likely.length - 1 : last]
  return next.map((value) => (value >= threshold ? value : Number.NEGATIVE_INFINITY))
}
