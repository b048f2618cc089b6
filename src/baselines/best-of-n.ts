/** @file Best of n by reward: of several draws the one that the reward likes best is kept, and the others are rejected. */
import { inferenceMethod, requireWhole } from './method.ts'
import { drawProposals } from './proposals.ts'

/**
 * It seeks the mode, not the posterior: the larger n, the less diverse. (The law of its samples tilts the sampler by
 * n·F(R)^(n−1), where F is the distribution of the reward under the sampler; Stiennon et al. 2020, arXiv 2009.01325, use
 * it with a learned reward.)
 * @param candidates n, draws for each latent that is wanted
 * @throws UserError where that is no whole number of at least 1
 */
export function bestOfN(candidates = 8) {
  requireWhole('the number of candidates', candidates)
  return inferenceMethod(`best of ${candidates}`, async (lane, query) => {
    const { latents, logTarget } = await drawProposals(lane, query, candidates * query.samples)
    const kept = Array.from({ length: query.samples }, (_, sample) => {
      let best = sample * candidates
      for (let i = best + 1; i < (sample + 1) * candidates; i++) if (logTarget[i] > logTarget[best]) best = i
      return latents[best]
    })
    return { latents: kept }
  })
}
