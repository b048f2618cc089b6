/** @file The constraint of words that a text must or must not contain. */
import { UserError } from '../errors.ts'
import { patterns } from './patterns.ts'
import type { Reward } from './reward.ts'

/**
 * c(Z) = exp(−penalty · broken rules) for required and forbidden words: whole words or phrases, in upper or lower case.
 * For forms of a word, or parts of words, use `patterns`. Part: `words`.
 */
export function words({
  required = [],
  forbidden = [],
  penalty,
}: {
  required?: readonly string[]
  forbidden?: readonly string[]
  penalty?: number
}): Reward {
  const both = required.find((word) => forbidden.includes(word))
  if (both !== undefined)
    throw new UserError({
      what: `${JSON.stringify(both)} is required and forbidden`,
      where: 'reward "words"',
      fix: 'leave it out of one of them',
    })
  return patterns({ required: required.map(wholeWord), forbidden: forbidden.map(wholeWord), penalty }, 'words')
}

/** A word between anything but letters, digits and underscores. */
function wholeWord(word: string): RegExp {
  if (word.trim().length === 0)
    throw new UserError({ what: 'a word without letters', where: 'reward "words"', fix: 'leave it out' })
  const literal = word
    .trim()
    .replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
    .replace(/\s+/g, '\\s+')
  return new RegExp(`(?<![\\p{L}\\p{N}_])${literal}(?![\\p{L}\\p{N}_])`, 'iu')
}
