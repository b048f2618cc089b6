/** @file Distances between distributions that are known exactly: log-probabilities over one and the same enumerated support. */
import { logSumExp } from '../log-space.ts'

/** log-probabilities of log-masses: each less the log of their sum. @throws Error where every mass is zero */
export function normaliseLog(logMasses: ArrayLike<number>): Float64Array {
  const logTotal = logSumExp(logMasses)
  if (!Number.isFinite(logTotal)) throw new Error(`masses that sum to exp(${logTotal}) are no distribution`)
  return Float64Array.from(logMasses, (logMass) => logMass - logTotal)
}

/** ½ Σ |p − q|, between 0 and 1: the largest difference in the probability of any event. */
export function totalVariation(logP: ArrayLike<number>, logQ: ArrayLike<number>): number {
  requireSameSupport(logP, logQ)
  let sum = 0
  for (let i = 0; i < logP.length; i++) sum += Math.abs(Math.exp(logP[i]) - Math.exp(logQ[i]))
  return sum / 2
}

/** KL(of ‖ from) = Σ of · log(of / from), nats; Infinity where `from` excludes what `of` does not. */
export function klDivergence({ of, from }: { of: ArrayLike<number>; from: ArrayLike<number> }): number {
  requireSameSupport(of, from)
  let sum = 0
  for (let i = 0; i < of.length; i++) if (of[i] > -Infinity) sum += Math.exp(of[i]) * (of[i] - from[i])
  return sum
}

/** −Σ p log p, nats. */
export function entropy(logP: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < logP.length; i++) if (logP[i] > -Infinity) sum -= Math.exp(logP[i]) * logP[i]
  return sum
}

function requireSameSupport(a: ArrayLike<number>, b: ArrayLike<number>) {
  if (a.length !== b.length) throw new Error(`supports of ${a.length} and ${b.length} outcomes differ`)
}
