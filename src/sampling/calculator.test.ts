import { expect, test } from 'vitest'
import { seededRandom } from '../random.ts'
import { calculator, parseSum, sumLast } from './calculator.ts'

test.each([
  [' 2 + 7 =', ' 9'],
  ['2+7=', ' 9'],
  ['2 - 8 =', ' -6'],
  ['-4 - 3 =', ' -7'],
  ['4 - -3 =', ' 7'],
  ['3 - 3 =', ' 0'],
  ['007 + 1 =', ' 8'],
  ['5 =', ' 5'], // one number is a sum
  ['2 + 7 = ', '9'], // the space is there already
  ['2 + 7 = 9, 9 - 5 =', ' 4'],
  ['2 + 7 = 9 - 5 =', ' 4'],
  ['So: 2 + 7 =', ' 9'],
  ['9 - 5 = 4. 4 + 1 =', ' 5'],
  ['1 + 2 + 3 =', ' 5'], // two operands are seen
  ['9 - 2 - 3 =', ' -1'],
])('%j is answered with %j', (text, answer) => {
  expect(calculator().respond(text)).toBe(answer)
})

test.each([
  '=',
  ' 2 + =',
  '+ =',
  '2 3 =',
  'two + 2 =',
  '2 * 3 =',
  '2 + 3) =',
  '1 +- - 2 =',
  'process.exit() =',
  '1e3 + 1 =',
  '1234567890123456 + 1 =',
])('%j is no expression and gets no answer', (text) => {
  expect(calculator().respond(text)).toBeUndefined()
})

test('of a chain the last operands are seen, as many as it may see', () => {
  expect([1, 2, 3, 4, 9].map((operands) => calculator({ operands }).respond('1 - 2 + 30 - 4 ='))).toEqual(
    [4, 26, 28, 25, 25].map((value) => ` ${value}`),
  )
  expect(() => calculator({ operands: 0 })).toThrow('it sees 0 operands')
})

test('random sums, however they are spaced, are what JavaScript makes of them', () => {
  const draws = seededRandom(1).at('sums')
  for (let round = 0; round < 300; round++) {
    const terms = Array.from({ length: 1 + draws.integer(6) }, () => (draws.integer(3) ? 1 : -1) * draws.integer(1000))
    const signs = terms.map(() => (draws.integer(2) ? 1 : -1))
    const space = () => ' '.repeat(draws.integer(3))
    const text = terms
      .map((term, i) => `${space()}${i === 0 ? '' : signs[i] > 0 ? '+' : '-'}${space()}${term}`)
      .join('')
    expect(sumLast(parseSum(text)!)).toBe(terms.reduce((sum, term, i) => (i === 0 ? term : sum + signs[i] * term), 0))
  }
})
