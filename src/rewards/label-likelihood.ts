/** @file The constraint of a language model that is asked for a label: log p(label | text), normalised over labels. */
import type { Lane } from '../models/lane.ts'
import type { LanguageModel } from '../models/language-model.ts'
import { checkLabels, type LabelOptions, labelScores, labelTokens } from './label-scores.ts'
import { defineLikelihood } from './likelihood.ts'
import { type Reading, scoreEndings } from './prefix-scores.ts'
import { beginningOf, documentStart, type Reward, sumParts, type Text, tokensOf } from './reward.ts'
import { textReward } from './text-scores.ts'

/**
 * c(Z) = p(label | X Z) / Σ p(other | X Z) over all labels. Part: `label`.
 * @param beginning X, where it is not the policy's own prompt
 * @param model another language model than the reference model; it reads the beginning (nothing, if there is none) and the
 * latent's text
 */
export function labelLikelihood({
  endings,
  label,
  beginning,
  model,
  ...reading
}: LabelOptions & { beginning?: Text; model?: LanguageModel } & Pick<Reading, 'stopInText'>): Reward {
  const labels = { endings, label }
  checkLabels(labels, 'label')
  if (model) return askedOf(model, labels, beginning)
  return defineLikelihood('label', {
    ask: (context) => ({ before: beginningOf(beginning, context), endings: labelTokens(labels, context), reading }),
    answer: (context, latents, found) =>
      sumParts(context, latents, { label: labelScores(labels, found.endings, true) }),
  })
}

/** Another model has its own tokens: every text is read anew, and what texts share is still read once. */
function askedOf(model: LanguageModel, labels: LabelOptions, beginning?: Text): Reward {
  const { tokenizer, description } = model
  const prompt = beginning === undefined ? [documentStart(tokenizer)] : tokensOf(beginning, tokenizer)
  const answers = labelTokens(labels, { tokenizer })
  return textReward('label', async (ended, { lane, model: reference }) => {
    const texts = ended.map(({ text }) => tokenizer.encodeContinuation(text))
    const support = { stop: 0, minTokens: 0, maxTokens: 0 }
    const score = (lane: Lane) =>
      scoreEndings({ lane, model: description, support, onlyWhole: true }, prompt, texts, answers, {
        stopInText: false,
      })
    // Whoever holds a lane and waits for another of the same model may wait for ever.
    const { endings } = await (reference === description ? score(lane) : model.lanes.use(score))
    return labelScores(labels, endings, true).map((row) => row[row.length - 1])
  })
}
