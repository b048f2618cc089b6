/**
 * @file Independence Metropolis–Hastings (Hastings 1970; Tierney 1994): a chain whose next state is proposed by a sampler that
 * does not look at the present one, and is accepted with probability min(1, w′ / w), w = R^(1/T) / q. The posterior is
 * its stationary distribution whatever the proposal; how fast it gets there depends on the largest weight.
 */
import type { Draws } from '../random.ts'
import { inferenceMethod } from './method.ts'
import { drawProposals } from './proposals.ts'

/** Gives the N states of one chain that starts at its first proposal; neighbours are dependent and often equal. */
export const metropolisHastings = () =>
  inferenceMethod('Metropolis–Hastings', async (lane, query) => {
    const { latents, logWeights } = await drawProposals(lane, query, query.samples)
    const states = independenceChain(logWeights, query.draws)
    return { latents: states.map((i) => latents[i]), acceptanceRate: acceptanceRate(states) }
  })

/**
 * The chain over proposals that were drawn independently of it.
 * @param logWeights  [states], nats: of the first state, then of each proposal; −∞ for a reward of zero
 * @returns [states], the place of the proposal that each state is
 */
export function independenceChain(logWeights: ArrayLike<number>, draws: Draws): number[] {
  let state = 0
  return Array.from(logWeights, (logWeight, i) => {
    const accepted = logWeights[state] === -Infinity || Math.log(draws.uniform()) < logWeight - logWeights[state]
    if (accepted) state = i
    return state
  })
}

/** The fraction of proposals that became states; NaN for a chain without any. */
const acceptanceRate = (states: readonly number[]): number =>
  states.slice(1).filter((state, i) => state === i + 1).length / (states.length - 1)
