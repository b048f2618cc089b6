/**
 * @file Sums and differences of digits for the task arithmetic: an expression, its steps, and its value. Whether an expression is
 * one to train on or to test on follows from the expression alone, so that no two files of the two kinds share one,
 * whoever makes them with whatever seed.
 */
import { UserError } from '../errors.ts'
import { type Draws, type Random, seededRandom } from '../random.ts'

/** Of all expressions. */
const TEST_FRACTION = 0.2
/** After so many draws in a row that gave nothing new, there is hardly anything new left. */
const MOST_REPEATS = 1000

export type Split = 'train' | 'test'

export const splitOf = (expression: string): Split =>
  seededRandom(0).at('arithmetic', expression).uniform() < TEST_FRACTION ? 'test' : 'train'

/** A row of the task's data. */
export type Sum = { question: string; rationale: string; answer: string }

/**
 * Distinct sums of digits, drawn uniformly: `2 + 7 - 5` with its steps `2 + 7 = 9, 9 - 5 = 4`.
 * @param operands  numbers of operands, at least two each: as many sums of each
 * @throws UserError where there are not so many
 */
export function makeSums(
  { split, count, operands }: { split: Split; count: number; operands: readonly number[] },
  random: Random,
): Sum[] {
  const draws = random.at('sums', split)
  const made = new Map<string, Sum>()
  for (let repeats = 0; made.size < count; ) {
    const sum = drawSum(operands[made.size % operands.length], draws)
    if (!made.has(sum.question) && splitOf(sum.question) === split) {
      made.set(sum.question, sum)
      repeats = 0
    } else if (++repeats === MOST_REPEATS)
      throw new UserError({
        what: `there are hardly more than ${made.size} sums of ${operands.join(' or ')} digits to ${split} on`,
        fix: 'ask for fewer, or for more operands',
      })
  }
  return [...made.values()]
}

function drawSum(operands: number, draws: Draws): Sum {
  let total = draws.integer(10)
  let question = `${total}`
  const steps: string[] = []
  for (let i = 1; i < operands; i++) {
    const sign = draws.integer(2) === 0 ? '+' : '-'
    const digit = draws.integer(10)
    const next = sign === '+' ? total + digit : total - digit
    question += ` ${sign} ${digit}`
    steps.push(`${total} ${sign} ${digit} = ${next}`)
    total = next
  }
  return { question, rationale: steps.join(', '), answer: `${total}` }
}
