/** @file The whole numbers from one to another, as a row of data gives them. */
import { UserError } from '../errors.ts'
import type { Example } from './task.ts'

/** Distributions are compared number by number. */
const MOST_NUMBERS = 2000

/** Whole numbers, both of which are in the range. */
export type Range = { from: number; to: number }

/** @throws UserError where an end is no whole number, or the range is empty or too large */
export function rangeOf({ prompt, from, to }: Example): Range {
  const where = `range of "${prompt.trim()}"`
  for (const [column, text] of Object.entries({ from, to }))
    if (!isNumber(text.trim()))
      throw new UserError({ what: `${column} is "${text}"`, where, fix: 'give a whole number, such as 100' })
  const range = { from: Number(from), to: Number(to) }
  const count = range.to - range.from + 1
  if (count < 1)
    throw new UserError({ what: `nothing lies between ${from} and ${to}`, where, fix: 'give the smaller number first' })
  if (count <= MOST_NUMBERS) return range
  throw new UserError({ what: `it has ${count} numbers`, where, fix: `give one of at most ${MOST_NUMBERS}` })
}

/** The range's numbers as they are written, in their order. */
export const numbersOf = ({ from, to }: Range): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => String(from + i))

/** As numbers are written: no sign but a minus, no leading zero. */
const isNumber = (text: string) => /^(0|-?[1-9]\d{0,14})$/.test(text)
