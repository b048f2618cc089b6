/** @file How the latents of each method are distributed, on which depends what can be known of their distance to the posterior. */
import type { BaselineName } from '../../baselines/index.ts'

/**
 * How one of a method's latents comes about:
 *
 * - `tokens`: drawn token by token, so that log q is known.
 * - `search`: the same few latents every time; q is these in equal parts.
 * - `weights`: chosen among weighted proposals. E[log Z − log Ẑ] is the divergence of all proposals together with the choice,
 *   and that of the chosen one cannot be larger.
 * - `best`: the best of n by reward, whose KL from its own sampler is at most log n − (n − 1)/n (Beirami et al. 2024,
 *   arXiv 2401.01879).
 * - `chain`: a state of a Markov chain, of whose law before it has converged nothing is known.
 */
export type Law = 'tokens' | 'search' | 'weights' | 'best' | 'chain'

export const methods: Readonly<Record<BaselineName, { title: string; law: Law }>> = {
  greedy: { title: 'greedy', law: 'search' },
  ancestral: { title: 'plain sampling', law: 'tokens' },
  tempered: { title: 'tempered', law: 'tokens' },
  'top-k': { title: 'top-k', law: 'tokens' },
  nucleus: { title: 'nucleus', law: 'tokens' },
  beam: { title: 'beam', law: 'search' },
  'beam-5': { title: 'beam, 5 N', law: 'search' },
  'diverse-beam': { title: 'diverse beam', law: 'search' },
  'diverse-beam-5': { title: 'diverse beam, 5 N', law: 'search' },
  'best-of-n': { title: 'best of n', law: 'best' },
  'importance-resampling': { title: 'importance resampling', law: 'weights' },
  'sequential-monte-carlo': { title: 'sequential Monte Carlo', law: 'weights' },
  'metropolis-hastings': { title: 'Metropolis–Hastings', law: 'chain' },
}

/** What `kl` is of methods of a law: KL(q ‖ posterior) itself, what it is at most, or nothing. */
export const klKind = (law: Law): 'exact' | 'bound' | 'unknown' =>
  (({ tokens: 'exact', search: 'exact', weights: 'bound', best: 'bound', chain: 'unknown' }) as const)[law]

/** Methods that sample from R^(1/T) / Z, the more exactly the more they compute. */
export const targetsPosterior = (method: BaselineName) => ['weights', 'chain'].includes(methods[method].law)

/** Methods that may be given a trained sampler: plain sampling is what it is for, and others draw their proposals from it. */
export const runsOnAnySampler = (method: BaselineName) =>
  method === 'ancestral' || methods[method].law === 'best' || targetsPosterior(method)
