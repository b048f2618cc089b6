/**
 * @file After how many queries training has paid: what it took, divided by what it then saves with every query over reaching
 * the same quality by computing more at inference time.
 */

/** What a query takes, and how good its answer then is; larger is better. */
export type CostPoint = { seconds: number; forwardTokens: number; quality: number }

export type BreakEven = {
  /** Of a query of the rival at equal quality; where it does not get there, of the largest budget that was tried. */
  seconds: number
  forwardTokens: number
  isReached: boolean
  /** Queries after which training has paid, where equal quality is not reached at most so many; Infinity: never, or not known. */
  queries: number
}

/**
 * @param trainingSeconds  of one lane, as are those of queries
 * @param rival  a method that is better the more it computes, cheapest first, which is plain sampling; at least one point
 */
export function breakEven(trainingSeconds: number, tuned: CostPoint, rival: readonly CostPoint[]): BreakEven {
  const reached = costOf(rival, tuned.quality)
  const isNoBetter = rival[0].quality >= tuned.quality // then a difference in seconds says nothing of training
  const { seconds, forwardTokens } = reached ?? rival[rival.length - 1]
  const saved = seconds - tuned.seconds
  return {
    seconds,
    forwardTokens,
    isReached: reached !== undefined,
    queries: saved > 0 && !isNoBetter ? Math.ceil(trainingSeconds / saved) : Number.POSITIVE_INFINITY,
  }
}

/**
 * What a query takes at a quality: between two points, quality is taken to grow with the logarithm of the cost. Undefined
 * where no point is as good.
 */
function costOf(
  points: readonly CostPoint[],
  quality: number,
): Pick<CostPoint, 'seconds' | 'forwardTokens'> | undefined {
  const last = points.findIndex((point) => point.quality >= quality)
  if (last < 0) return undefined
  const [below, above] = [points[last - 1], points[last]]
  if (!below) return above
  const part = (quality - below.quality) / (above.quality - below.quality)
  const between = (a: number, b: number) => Math.exp(Math.log(a) + part * (Math.log(b) - Math.log(a)))
  return {
    seconds: between(below.seconds, above.seconds),
    forwardTokens: between(below.forwardTokens, above.forwardTokens),
  }
}
