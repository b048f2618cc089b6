/** @file The posterior reward: latents that lead from a beginning to a given ending. */
import { UserError } from '../errors.ts'
import { scorePrefixes } from './prefix-scores.ts'
import { continuationOf, type Reward, sumParts, type Text, tokensOf } from './reward.ts'

/**
 * R(z_1..z_i ⊤) = p(z_1..z_i ⊤ Y | X) under the reference model (Hu et al. 2024, section 3.1; with X a beginning and Y an
 * ending it is infilling, section 4.2). Parts: `latent` log p(z_1..z_i ⊤ | X), `ending` log p(Y | X z_1..z_i ⊤).
 * @param ending Y: text that follows the latent, or tokens
 * @param beginning X, where it is not the policy's own prompt (which may hold Y too, as it must for infilling)
 */
export function posterior({ ending, beginning }: { ending: Text; beginning?: Text }): Reward {
  if (ending.length === 0)
    throw new UserError({
      what: 'the posterior needs an ending',
      where: 'reward',
      fix: 'give a text, or use "tempered"',
    })
  return {
    name: 'posterior',
    score: async (context, latents) => {
      const { tokenizer } = context
      const prompt = beginning === undefined ? context.prompt : tokensOf(beginning, tokenizer)
      const scores = await scorePrefixes(context, prompt, latents, continuationOf(ending, tokenizer))
      return sumParts(context, latents, { ...scores })
    },
  }
}
