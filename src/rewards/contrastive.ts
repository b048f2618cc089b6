/** @file The contrastive reward: what is likely after this prompt more than in general. */
import { UserError } from '../errors.ts'
import { times } from './compose.ts'
import { type Reading, scorePrefixes } from './prefix-scores.ts'
import { defineReward, documentStart, type Reward, sumParts, type Text, tokensOf } from './reward.ts'

/**
 * R(z_1..z_i ⊤) = p(z_1..z_i ⊤ | X)^a · p(z_1..z_i ⊤)^b, with b < 0 less generic text. Parts: `latent` a · log p(z ⊤ | X),
 * `background` b · log p(z ⊤). With a + b ≤ 0 longer latents are not less likely, and only their limit bounds them.
 * @param background a neutral prompt; without one the latent begins a document
 */
export function contrastive({
  conditional = 1,
  unconditional,
  background,
  ...reading
}: { conditional?: number; unconditional: number; background?: Text } & Reading): Reward {
  if (!Number.isFinite(conditional) || !Number.isFinite(unconditional))
    throw new UserError({
      what: `exponents ${conditional} and ${unconditional} are not both numbers`,
      where: 'reward "contrastive"',
      fix: 'give finite exponents, such as 1 and -0.5',
    })
  return defineReward('contrastive', async (context, latents) => {
    const { prompt, tokenizer } = context
    const neutral = background === undefined ? [documentStart(tokenizer)] : tokensOf(background, tokenizer)
    const likelihood = async (before: readonly number[], exponent: number) =>
      times((await scorePrefixes(context, before, latents, [], reading)).latent, exponent)
    const latent = await likelihood(prompt, conditional)
    return sumParts(context, latents, { latent, background: await likelihood(neutral, unconditional) })
  })
}
