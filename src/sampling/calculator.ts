/** @file The calculator of the paper's arithmetic (section 4.4): sums and differences of integers, parsed and never evaluated as code. */
import { UserError } from '../errors.ts'
import type { Tool } from './tools.ts'

/** A longer number is not computed with exactly. */
const MAX_DIGITS = 15
/** Where an expression begins: after the last of these. */
const SEPARATORS = /[,.:;=\n]/

/**
 * Answers `2 + 7 =` with ` 9`. The expression begins after the latent's last comma, full stop, colon or equals sign. Text
 * that is no expression gets no answer.
 * @param operands  of a longer chain only so many are seen, the last ones: with the paper's 2, `1 + 2 + 3 =` gives ` 5`
 */
export function calculator({ operands = 2 }: { operands?: number } = {}): Tool {
  if (!(operands >= 1))
    throw new UserError({ what: `it sees ${operands} operands`, where: 'calculator', fix: 'let it see at least one' })
  return {
    name: 'calculator',
    trigger: '=',
    respond: (text) => {
      const question = text.trimEnd().slice(0, -1) // without the equals sign
      const terms = parseSum(question.split(SEPARATORS).at(-1)!)
      if (!terms) return undefined
      const value = sumLast(terms, operands)
      return /\s$/.test(text) ? `${value}` : ` ${value}`
    },
  }
}

/** A number and the sign of the operator before it. */
type Term = { sign: 1 | -1; value: number }

/** `-4 - 3 + 1` → its terms; undefined for anything else. A number may have a sign of its own: `2 - -3`. */
export function parseSum(text: string): Term[] | undefined {
  const token = /\s*(\d+|[+-])/y
  const terms: Term[] = []
  let operator: Term['sign'] | undefined = 1 // before a number; undefined after one
  let own: Term['sign'] | undefined
  while (token.lastIndex < text.trimEnd().length) {
    const piece = token.exec(text)?.[1]
    if (piece === undefined) return undefined
    if (/\d/.test(piece)) {
      if (operator === undefined || piece.length > MAX_DIGITS) return undefined
      terms.push({ sign: operator, value: (own ?? 1) * Number(piece) })
      operator = own = undefined
    } else {
      const sign = piece === '-' ? -1 : 1
      if (operator === undefined) operator = sign
      else if (own === undefined) own = sign
      else return undefined
    }
  }
  return operator === undefined ? terms : undefined
}

/** The value of the last `count` terms; the first of them has lost its operator. */
export function sumLast(terms: readonly Term[], count = terms.length): number {
  const seen = terms.slice(-count)
  return seen.reduce((sum, { sign, value }, i) => (i === 0 ? value : sum + sign * value), 0)
}
