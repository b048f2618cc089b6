/**
 * @file Users' text inside a template that has special tokens of its own: what in it is written like a special token is
 * quoted, so that whoever looks for special tokens in the whole does not find it.
 */

export type Quotation = {
  /** The text with the names of special tokens replaced by signs that no template and no vocabulary knows. */
  quote(text: string): string
  /** The inverse of `quote`. */
  unquote(text: string): string
}

/** Unicode keeps this code point for internal use: no text for interchange contains it. */
const SIGN = '\uFDD0'

/** @param names what must be quoted, such as `<|im_end|>` */
export function quotation(names: readonly string[]): Quotation {
  const longestFirst = [...names].sort((a, b) => b.length - a.length)
  const quotable = new RegExp([SIGN, ...longestFirst].map(escaped).join('|'), 'g')
  const quoted = new RegExp(`${SIGN}(\\d*)${SIGN}`, 'g')
  return {
    quote: (text) => text.replace(quotable, (found) => `${SIGN}${found === SIGN ? '' : names.indexOf(found)}${SIGN}`),
    unquote: (text) => text.replace(quoted, (_, index: string) => (index === '' ? SIGN : names[Number(index)])),
  }
}

const escaped = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
