/** @file The tempered reward: likely and diverse continuations. */
import { defineLikelihood } from './likelihood.ts'
import type { Reading } from './prefix-scores.ts'
import { type Reward, sumParts } from './reward.ts'

/**
 * R(z_1..z_i ⊤) = p(z_1..z_i ⊤ | X) under the reference model, to be raised to 1/T by the reward temperature
 * (Hu et al. 2024, section 4.1). Part: `latent` log p(z_1..z_i ⊤ | X).
 */
export function tempered(reading: Reading = {}): Reward {
  return defineLikelihood('tempered', {
    ask: ({ prompt }) => ({ before: prompt, endings: [], reading }),
    answer: (context, latents, { latent }) => sumParts(context, latents, { latent }),
  })
}
