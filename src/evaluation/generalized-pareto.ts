/** @file The generalized Pareto distribution, which the upper tail of almost any distribution approaches. */

/** P(X > x) = (1 + shape · x / scale)^(−1/shape) for x > 0; moments of order 1/shape and above are infinite. */
export type GeneralizedPareto = { shape: number; scale: number }

/**
 * The distribution fitted to positive values in ascending order, at least five: the posterior mean of Zhang and Stephens
 * (2009) over a grid of θ = −shape / scale, each with the shape that fits it best. The shape is then drawn towards 0.5 as
 * by ten further values (Vehtari et al. 2024, appendix C), which calms small samples.
 * @returns NaN for both where the values are too equal to tell
 */
export function fitGeneralizedPareto(ascending: Float64Array): GeneralizedPareto {
  const count = ascending.length
  const firstQuartile = ascending[Math.floor(count / 4 + 0.5) - 1]
  const largest = ascending[count - 1]
  const bestShape = (theta: number) => ascending.reduce((sum, x) => sum + Math.log1p(-theta * x), 0) / count

  const gridSize = 30 + Math.floor(Math.sqrt(count))
  const grid = Array.from(
    { length: gridSize },
    (_, j) => 1 / largest + (1 - Math.sqrt(gridSize / (j + 0.5))) / (PRIOR_WIDTH * firstQuartile),
  )
  const logLikelihoods = grid.map((theta) => {
    const shape = bestShape(theta)
    return count * (Math.log(-theta / shape) - shape - 1)
  })
  const theta = meanUnder(logLikelihoods, grid)
  const shape = bestShape(theta)
  return {
    shape: (count * shape + PRIOR_VALUES * PRIOR_SHAPE) / (count + PRIOR_VALUES),
    scale: -shape / theta,
  }
}

/** The x below which a fraction of the distribution lies. */
export const paretoQuantile = ({ shape, scale }: GeneralizedPareto, fraction: number) =>
  shape === 0 ? -scale * Math.log1p(-fraction) : (scale * Math.expm1(-shape * Math.log1p(-fraction))) / shape

const PRIOR_WIDTH = 3 // of the grid, in first quartiles; from the authors' simulations
const PRIOR_VALUES = 10
const PRIOR_SHAPE = 0.5

/** The mean of values under probabilities proportional to exp(logWeights). */
function meanUnder(logWeights: readonly number[], values: readonly number[]): number {
  const largest = logWeights.reduce((a, b) => Math.max(a, b))
  const weights = logWeights.map((logWeight) => Math.exp(logWeight - largest))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return values.reduce((sum, value, i) => sum + (value * weights[i]) / total, 0)
}
