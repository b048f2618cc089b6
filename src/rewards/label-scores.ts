/**
 * @file log p of a label's whole text after a latent, on its own or against the other labels. Whole texts are compared,
 * not first tokens: labels may begin with the same token, and be of unequal length.
 */
import { UserError } from '../errors.ts'
import { logSumExp } from '../log-space.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { continuationOf, type PrefixValues } from './reward.ts'

export type LabelOptions = {
  /** The text that follows a latent for each label: `{ objective: ', so it is objective.', subjective: … }`. */
  endings: Readonly<Record<string, string>>
  label: string
}

/** @throws UserError for fewer than two labels, an unknown one, and labels whose texts are empty or alike */
export function checkLabels({ endings, label }: LabelOptions, where: string): void {
  const refuse = (what: string, fix: string): never => {
    throw new UserError({ what, where: `reward "${where}"`, fix })
  }
  const names = Object.keys(endings)
  if (names.length < 2) refuse(`it has ${names.length} labels`, 'give at least two')
  if (!Object.hasOwn(endings, label)) refuse(`no label "${label}"`, `choose among ${names.join(', ')}`)
  const empty = names.find((name) => endings[name].length === 0)
  if (empty !== undefined) refuse(`label "${empty}" has no text`, 'give each label the text that follows the latent')
  const alike = names.find((name, i) => names.findIndex((other) => endings[other] === endings[name]) < i)
  if (alike !== undefined) refuse(`label "${alike}" has the text of another`, 'give each label a text of its own')
}

/** [labels], the tokens of each label's text after a latent. */
export const labelTokens = ({ endings }: Pick<LabelOptions, 'endings'>, { tokenizer }: { tokenizer: Tokenizer }) =>
  Object.values(endings).map((ending) => continuationOf(ending, tokenizer))

/**
 * The label's log-likelihood at every prefix, from those of all labels.
 * @param normalised against the sum over labels, so that it is log p(label | one of the labels)
 */
export function labelScores(
  { endings, label }: LabelOptions,
  likelihoods: readonly PrefixValues[],
  normalised: boolean,
): PrefixValues {
  const chosen = Object.keys(endings).indexOf(label)
  return likelihoods[chosen].map((row, n) =>
    row.map((value, i) => (normalised ? value - logSumExp(likelihoods.map((of) => of[n][i])) : value)),
  )
}
