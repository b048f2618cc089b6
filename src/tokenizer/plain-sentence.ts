/**
 * @file Tokens that do not belong into one plain sentence which a full stop ends: those that Hu et al. (2024, section 4.1)
 * forbid, told by their text and not by their ids, so that the rule holds for any vocabulary.
 */
import type { Tokenizer } from './tokenizer.ts'

const UNFIT = [
  /[\n\r\t\v\f]/,
  /["“”«»]/,
  /[?!]|\.\./, // sentences that end otherwise, where nothing would stop them
  /https?|:\/\/|www|Â/, // addresses, and text that was decoded wrongly
  /\*\*|--|==|__|##|@@|%%|&&|\$\$|[~^|]/, // markup
  /^[A-Z]$/, // initials; with a space before it a letter may begin any name
  /^ ?(US|Mr|Mrs|Ms|Dr|Prof|Jr|St|Av)$/, // abbreviations: their full stop would end the latent
]

/** The tokens that are unfit for a plain sentence, special ones among them. */
export function unfitForSentence(tokenizer: Pick<Tokenizer, 'vocabularySize' | 'specialTokens' | 'textOf'>): number[] {
  const { vocabularySize, specialTokens, textOf } = tokenizer
  const isUnfit = (token: number) => specialTokens.has(token) || UNFIT.some((pattern) => pattern.test(textOf(token)))
  return Array.from({ length: vocabularySize }, (_, token) => token).filter(isUnfit)
}
