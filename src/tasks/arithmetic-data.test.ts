import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { UserError } from '../errors.ts'
import { seededRandom } from '../random.ts'
import { parseSum, sumLast } from '../sampling/calculator.ts'
import { makeSums, type Sum, splitOf } from './arithmetic-data.ts'
import { checkEquations, lastResult, operandsOf } from './arithmetic-text.ts'
import { embeddedSums } from './embedded.ts'

const sums = (split: 'train' | 'test', seed: number, operands = [3, 4], count = 300) =>
  makeSums({ split, count, operands }, seededRandom(seed))

test('sums are distinct, and as many of each number of operands', () => {
  const made = sums('train', 1, [3, 4, 5])
  expect(new Set(made.map(({ question }) => question)).size).toBe(300)
  const counts = made.map(operandsOf)
  expect([3, 4, 5].map((operands) => counts.filter((count) => count === operands).length)).toEqual([100, 100, 100])
})

test('what is made to train on is never made to test on, whatever the seeds', () => {
  const training = new Set([1, 2, 3].flatMap((seed) => sums('train', seed)).map(({ question }) => question))
  const test = [4, 5, 6].flatMap((seed) => sums('test', seed))
  expect(training.size).toBeGreaterThan(600)
  expect(test.filter(({ question }) => training.has(question))).toEqual([])
})

test('steps are right and lead to the answer', () => {
  for (const { question, rationale, answer } of sums('test', 7, [2, 3, 4, 5], 100)) {
    expect(checkEquations(rationale).every(Boolean)).toBe(true)
    expect(checkEquations(rationale)).toHaveLength(operandsOf({ question }) - 1)
    expect(lastResult(rationale)).toBe(answer)
    expect(String(sumLast(parseSum(question)!))).toBe(answer)
  }
})

test('the same seed makes the same sums, another one others', () => {
  expect(sums('train', 1)).toEqual(sums('train', 1))
  expect(sums('train', 1)).not.toEqual(sums('train', 2))
})

test('more sums than there are are refused', () => {
  const all = sums('test', 1, [2], 30)
  expect(all).toHaveLength(30)
  expect(() => sums('test', 1, [2], 100)).toThrow(UserError)
  expect(() => sums('test', 1, [2], 100)).toThrow(
    /^there are hardly more than \d+ sums of 2 digits to test on; ask for fewer, or for more operands$/,
  )
})

test('the shipped files are those that the script makes, and disjoint', () => {
  const rows = (file: string) =>
    readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line): Omit<Sum, 'rationale'> & { rationale?: string } => JSON.parse(line))
  const [training, heldOut] = [rows(embeddedSums.data), rows(embeddedSums.testData)]
  expect(training.every(({ question }) => splitOf(question) === 'train')).toBe(true)
  expect(heldOut.every(({ question }) => splitOf(question) === 'test')).toBe(true)
  expect(training.filter(({ rationale }) => rationale)).toHaveLength(50)
  const made = sums('train', 0, [3, 4], 240)
  expect(training).toEqual(made.map(({ rationale, ...row }, i) => (i < 50 ? { ...row, rationale } : row)))
  expect(heldOut.map(operandsOf).filter((operands) => operands === 5)).toHaveLength(20)
})
