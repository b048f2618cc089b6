import { expect, test } from 'vitest'
import { seededRandom } from '../random.ts'
import { distanceFrom } from './token-distance.ts'

/** The textbook recurrence. */
function editDistance(a: readonly number[], b: readonly number[]): number {
  if (a.length === 0 || b.length === 0) return a.length + b.length
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1))
    row = next
  }
  return row[b.length]
}

test('the distance is the number of tokens to insert, delete or replace', () => {
  expect(distanceFrom([1, 2, 3])([1, 2, 3])).toBe(0)
  expect(distanceFrom([1, 2, 3])([1, 3])).toBe(1)
  expect(distanceFrom([1, 2, 3])([4, 1, 2, 5])).toBe(2)
  expect(distanceFrom([])([8, 9])).toBe(2)
  expect(distanceFrom([])([])).toBe(0)
})

test('tokens beyond 16 bits, and those that look like half a surrogate pair, are told apart', () => {
  expect(distanceFrom([65_536 + 7])([7])).toBe(1)
  expect(distanceFrom([151_642, 151_643])([151_643, 151_642])).toBe(2)
  expect(distanceFrom([0xd83d, 0xde00])([0xd83d])).toBe(1)
})

test('it equals the textbook recurrence on random sequences of many lengths', () => {
  const draws = seededRandom(1).at('sequences')
  const sequence = () => Array.from({ length: draws.integer(80) }, () => draws.integer(4) * 50_000)
  for (let i = 0; i < 300; i++) {
    const [a, b] = [sequence(), sequence()]
    expect(distanceFrom(a)(b)).toBe(editDistance(a, b))
  }
})
