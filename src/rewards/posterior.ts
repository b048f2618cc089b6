/** @file The posterior reward: latents that lead from a beginning to a given ending. */
import { UserError } from '../errors.ts'
import { defineLikelihood } from './likelihood.ts'
import type { Before, Reading } from './prefix-scores.ts'
import { beginningOf, continuationOf, type Reward, type RewardContext, sumParts, type Text } from './reward.ts'

/**
 * R(z_1..z_i ⊤) = p(z_1..z_i ⊤ Y | X) under the reference model (Hu et al. 2024, section 3.1; with X a beginning and Y an
 * ending it is infilling, section 4.2). Parts: `latent` log p(z_1..z_i ⊤ | X), `ending` log p(Y | X z_1..z_i ⊤).
 * @param ending Y: text that follows the latent, or tokens
 * @param beginning X, where it is not the policy's own prompt (which may hold Y too, as it must for infilling)
 */
export function posterior({ ending, beginning, ...reading }: { ending: Text; beginning?: Text } & Reading): Reward {
  const before = (context: RewardContext) => beginningOf(beginning, context)
  return posteriorAfter('posterior', before, { ending, ...reading })
}

/** A posterior whose X is what `before` says. */
export function posteriorAfter(
  name: string,
  before: (context: RewardContext) => Before,
  { ending, ...reading }: { ending: Text } & Reading,
): Reward {
  if (ending.length === 0)
    throw new UserError({
      what: `the ${name} needs an ending`,
      where: 'reward',
      fix: 'give a text, or use "tempered"',
    })
  return defineLikelihood(name, {
    ask: (context) => ({
      before: before(context),
      endings: [continuationOf(ending, context.tokenizer)],
      reading,
    }),
    answer: (context, latents, { latent, endings }) => sumParts(context, latents, { latent, ending: endings[0] }),
  })
}
