/**
 * @file Sampling–importance–resampling (Rubin 1987): proposals from a sampler, weights log R^(1/T) − log q, and latents
 * drawn from the proposals in proportion to them. Exact in the limit of many proposals; how far off at how many, the
 * weights say themselves (effective sample size, Pareto k̂).
 */
import { inferenceMethod, requireWhole } from './method.ts'
import { drawProposals } from './proposals.ts'
import { systematicResample } from './resampling.ts'

/**
 * Gives N latents of equal weight, and all the weighted proposals, whose mean weight is an unbiased estimate of Z. No latents
 * where every proposal has a reward of zero.
 * @param proposalsPerSample proposals for each latent that is wanted
 * @throws UserError where that is no whole number of at least 1
 */
export function importanceResampling(proposalsPerSample = 8) {
  requireWhole('the number of proposals per sample', proposalsPerSample)
  return inferenceMethod(`importance resampling, ${proposalsPerSample} per sample`, async (lane, query) => {
    const proposals = await drawProposals(lane, query, proposalsPerSample * query.samples)
    const chosen = systematicResample(proposals.logWeights, query.samples, query.draws.uniform())
    return { latents: chosen.map((i) => proposals.latents[i]), proposals }
  })
}
