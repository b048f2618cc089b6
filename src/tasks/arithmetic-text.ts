/** @file The texts of the task arithmetic: how a sum is asked, worked and concluded, and what is read in a model's steps. */
import { UserError } from '../errors.ts'
import { parseSum, sumLast } from '../sampling/calculator.ts'
import type { Example, TaskAnswer } from './task.ts'

const LEAD = ' The answer is'
/** Examples that are shown before a question, as in the paper's code. */
export const DEMONSTRATIONS = 3

/** `2 + 7 - 5`, or the whole question as the paper's files have it. */
export const queryOf = ({ question }: Example): string =>
  /^\s*Question:/.test(question)
    ? question.trim()
    : `Question: ${question.trim().replace(/\s*=\s*\??$/, '')} = ? Answer:`

export const conclusion = (example: Example): string => `${LEAD} ${answerIn(example)}.`

/** A whole number, as it is written; undefined for anything else. */
export const readNumber = (text: string): string | undefined =>
  /^\s*-?\d+\s*$/.test(text) ? String(Number(text)) : undefined

/** How an answer is written after the full stop that ends the steps. */
export const open: TaskAnswer['open'] & {} = { lead: LEAD, stop: '.', maxTokens: 6, read: readNumber }

/** The demonstrations that go before an example, which is none of them. */
export const othersOf = (example: Example, demonstrations: readonly Example[]): Example[] =>
  demonstrations.filter((other) => queryOf(other) !== queryOf(example)).slice(0, DEMONSTRATIONS)

/** @throws UserError where the answer is no whole number */
export function answerIn({ question, answer }: Example): string {
  const value = readNumber(answer)
  if (value !== undefined) return value
  throw new UserError({
    what: `the answer "${answer}" is no whole number`,
    where: `the question "${question.trim()}"`,
    fix: 'write it in digits',
  })
}

export const operandsOf = ({ question }: Example): number => question.match(/\d+/g)?.length ?? 0

/** Steps with their results, also where a calculator was to write them: `9 + 4 =, 13 - 8 =` is `9 + 4 = 13, 13 - 8 = 5`. */
export const worked = (rationale: string): string =>
  stepsOf(rationale)
    .map(({ text, terms, result }) => (terms && result === '' ? `${text.trimEnd()} ${sumLast(terms)}` : text))
    .join(',')

/** A solved example, with its steps or without. */
export const demonstration = (example: Example, { steps }: { steps: boolean }): string =>
  `${queryOf(example)}${steps && example.rationale ? ` ${worked(example.rationale).trim()}.` : ''}${conclusion(example)}`

/** The equations in a text, `2 + 7 = 9`: is each one right? What is no sum is wrong. */
export const checkEquations = (text: string): boolean[] =>
  stepsOf(text)
    .filter(({ result }) => result !== undefined)
    .map(({ terms, result }) => terms !== undefined && readNumber(result!) === String(sumLast(terms)))

/** What stands after the last equals sign, if it is a number. */
export const lastResult = (text: string): string | undefined => readNumber(stepsOf(text).at(-1)?.result ?? '')

/** The parts of a chain: its text, the terms before the equals sign, and what stands after it, if there is one. */
const stepsOf = (chain: string) =>
  chain.split(',').map((text) => {
    const [sum, result] = text.split('=')
    return { text, terms: parseSum(sum), result: result?.trim() }
  })
