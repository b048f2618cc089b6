/** @file The tempered reward: likely and diverse continuations. */
import { type Reading, scorePrefixes } from './prefix-scores.ts'
import { defineReward, type Reward, sumParts } from './reward.ts'

/**
 * R(z_1..z_i ⊤) = p(z_1..z_i ⊤ | X) under the reference model, to be raised to 1/T by the reward temperature
 * (Hu et al. 2024, section 4.1). Part: `latent` log p(z_1..z_i ⊤ | X).
 */
export function tempered(reading: Reading = {}): Reward {
  return defineReward('tempered', async (context, latents) => {
    const { latent } = await scorePrefixes(context, context.prompt, latents, [], reading)
    return sumParts(context, latents, { latent })
  })
}
