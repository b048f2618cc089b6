/**
 * @file Diverse beam search (Vijayakumar et al. 2018, arXiv 1610.02424): groups of beams that advance one after another at
 * every step, each paying for tokens that the groups before it have just chosen (Hamming diversity).
 *
 * Penalties stay in a sequence's score, as in the algorithm's listing ("Θ ← Θ + λ Δ") and in the implementations that
 * published results come from; log q is reported without them.
 */
import { searchBeams } from './beam.ts'
import { inferenceMethod, requireWhole } from './method.ts'

/**
 * Gives the best latent of each of N groups (Hu et al. 2024, section 4.1, with N and with 5 N beams in all).
 * @param beamsPerGroup beams of each group
 * @param penalty λ, nats for each earlier group that chose the token
 * @throws UserError where the number of beams is no whole number of at least 1
 */
export function diverseBeam(beamsPerGroup = 1, penalty = 1) {
  requireWhole('the number of beams per group', beamsPerGroup)
  return inferenceMethod(`diverse beam, ${beamsPerGroup} per group`, async (lane, query) => {
    const groups = await searchBeams(lane, query, { groups: query.samples, beams: beamsPerGroup, penalty })
    return { latents: groups.map(([{ latent }]) => latent), logQ: groups.map(([{ logQ }]) => logQ) }
  })
}
