/** @file The constrained reward: likely latents that do as they are told. */
import { UserError } from '../errors.ts'
import { product, untempered } from './compose.ts'
import type { Reward } from './reward.ts'
import { tempered } from './tempered.ts'

/**
 * R(Z) = p(Z | X) · Π c_k(Z). A reward temperature tempers the likelihood and leaves the constraints as they are.
 * @param constraints `words`, `patterns`, `lengthPrior`, `classifier`, `labelLikelihood`, `explicit`: any reward of the text
 * @param reward in place of p(Z | X), such as a posterior
 */
export function constrained({
  constraints,
  reward = tempered(),
}: {
  constraints: readonly Reward[]
  reward?: Reward
}): Reward {
  if (constraints.length === 0)
    throw new UserError({ what: 'it has no constraint', where: 'reward "constrained"', fix: `use "${reward.name}"` })
  return { ...product(reward, ...constraints.map(untempered)), name: 'constrained' }
}
