/** @file The posterior of a rationale given a label: latents that are likely and lead to the label (paper, section 4.3). */
import { checkLabels, type LabelOptions, labelScores } from './label-scores.ts'
import { type Reading, scoreEndings } from './prefix-scores.ts'
import { continuationOf, defineReward, type Reward, sumParts, type Text, tokensOf } from './reward.ts'

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
  return defineReward('label posterior', async (context, latents) => {
    const { tokenizer } = context
    const prompt = beginning === undefined ? context.prompt : tokensOf(beginning, tokenizer)
    const texts = Object.values(endings).map((ending) => continuationOf(ending, tokenizer))
    const scores = await scoreEndings(context, prompt, latents, texts, reading)
    const label = labelScores(labels, scores.endings, normalised)
    return sumParts(context, latents, { latent: scores.latent, label })
  })
}
