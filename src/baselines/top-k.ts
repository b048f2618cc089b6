/** @file Top-k sampling: every token from the k most likely ones (Fan, Lewis and Dauphin 2018, arXiv 1805.04833). */
import { drawLatents } from './draw-latents.ts'
import { inferenceMethod, requireWhole } from './method.ts'
import type { LogProbabilities } from './next-tokens.ts'

/** @throws UserError where `count` is no whole number of at least 1 */
export function topK(count = 50) {
  requireWhole('k', count)
  return inferenceMethod(`top-k, k = ${count}`, (lane, query) =>
    drawLatents(lane, query, (next) => keepTopK(next, count)),
  )
}

/** The `count` most likely tokens, those equal to the last of them too; −∞ elsewhere. ⊤ is a token like others. */
export function keepTopK(next: LogProbabilities, count: number): Float32Array {
  if (count >= next.length) return next
  const best = new Float32Array(count).fill(Number.NEGATIVE_INFINITY) // ascending
  for (const value of next) {
    if (!(value > best[0])) continue
    let place = 1
    for (; place < count && best[place] < value; place++) best[place - 1] = best[place]
    best[place - 1] = value
  }
  return next.map((value) => (value >= best[0] ? value : Number.NEGATIVE_INFINITY))
}
