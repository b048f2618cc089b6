/**
 * @file The answer Y that follows from many sampled latents Z (Table 1 of the paper), and how much of its uncertainty is
 * about Z: the total entropy H[Y] is the mean H[Y | Z], which no knowledge of Z removes, and the mutual information of
 * Z and Y, which is epistemic.
 */
import { logSumExp } from '../log-space.ts'
import { entropy, normaliseLog } from './divergence.ts'
import { normalisedWeights } from './posterior-expectation.ts'

export type PosteriorPredictive = {
  /** [answers], p(y | x) = Σ_z w(z) p(y | x, z); sums to 1. */
  probabilities: Float64Array
  /** The index of the most probable answer, of equals the first, and its probability. */
  answer: number
  confidence: number
  /** H[Y], nats. */
  totalUncertainty: number
  /** The mean of H[Y | Z = z], nats. */
  aleatoricUncertainty: number
  /** The mutual information I(Z; Y) = H[Y] − mean H[Y | Z], nats; 0 where all latents agree. */
  epistemicUncertainty: number
}

/**
 * Averages the answers' probabilities over samples of Z.
 * @param logAnswers  [samples][answers], log p(y | x, z), nats; each sample's are normalised over the answers
 * @param logWeights  [samples], importance weights of the samples (`log-partition.ts`); equal where they are not given
 */
export function posteriorPredictive(
  logAnswers: readonly ArrayLike<number>[],
  logWeights: ArrayLike<number> = new Float64Array(logAnswers.length),
): PosteriorPredictive {
  if (logAnswers.length === 0) throw new Error('there are no samples to average over')
  if (logWeights.length !== logAnswers.length)
    throw new Error(`${logWeights.length} weights for ${logAnswers.length} samples`)
  const weights = normalisedWeights(logWeights)
  const given = logAnswers.map(normaliseLog) // log p(y | x, z)
  const logMean = Float64Array.from(given[0], (_, answer) =>
    logSumExp(given.map((logP, sample) => Math.log(weights[sample]) + logP[answer])),
  )
  const probabilities = logMean.map(Math.exp)
  const answer = probabilities.indexOf(Math.max(...probabilities))
  const totalUncertainty = entropy(logMean)
  const aleatoricUncertainty = given.reduce((sum, logP, sample) => sum + weights[sample] * entropy(logP), 0)
  return {
    probabilities,
    answer,
    confidence: probabilities[answer],
    totalUncertainty,
    aleatoricUncertainty,
    epistemicUncertainty: Math.max(0, totalUncertainty - aleatoricUncertainty), // rounding may go below 0
  }
}
