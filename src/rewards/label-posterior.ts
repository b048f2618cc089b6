/** @file The posterior of a rationale given a label: latents that are likely and lead to the label (paper, section 4.3). */
import { checkLabels, type LabelOptions, labelScores, labelTokens } from './label-scores.ts'
import { defineLikelihood } from './likelihood.ts'
import type { Reading } from './prefix-scores.ts'
import { beginningOf, type Reward, sumParts, type Text } from './reward.ts'

/**
 * R(z_1..z_i ⊤) = p(z_1..z_i ⊤ | X) · p(label | X z_1..z_i ⊤) under the reference model. Parts: `latent`, `label`.
 * @param normalised the label's likelihood as a fraction of that of all labels: a rationale then gains nothing by making
 * all of them likely. Default false, as in the paper
 * @param beginning X, where it is not the policy's own prompt
 */
export function labelPosterior({
  endings,
  label,
  normalised = false,
  beginning,
  ...reading
}: LabelOptions & { normalised?: boolean; beginning?: Text } & Reading): Reward {
  const labels = { endings, label }
  checkLabels(labels, 'label posterior')
  return defineLikelihood('label posterior', {
    ask: (context) => ({ before: beginningOf(beginning, context), endings: labelTokens(labels, context), reading }),
    answer: (context, latents, found) =>
      sumParts(context, latents, { latent: found.latent, label: labelScores(labels, found.endings, normalised) }),
  })
}
