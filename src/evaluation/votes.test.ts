import { expect, test } from 'vitest'
import { mostFrequent, vote, votingAccuracy } from './votes.ts'

test('values come in the order of how often they occur, equals in that of their first occurrence', () => {
  expect(mostFrequent(['b', 'a', 'c', 'a', 'b', 'd'])).toEqual([
    { value: 'b', count: 2 },
    { value: 'a', count: 2 },
    { value: 'c', count: 1 },
    { value: 'd', count: 1 },
  ])
  expect(mostFrequent(['x', 'y', 'y'], 1)).toEqual([{ value: 'y', count: 2 }])
  expect(mostFrequent([])).toEqual([])
})

test('the majority wins, with its share of the votes', () => {
  expect(vote([1, 0, 1, 1])).toEqual({ answer: 1, share: 0.75 })
  expect(() => vote([])).toThrow('nobody votes')
})

test('accuracy counts the questions whose vote is right', () => {
  const answers = [
    ['yes', 'yes', 'no'],
    ['no', 'no', 'no'],
    ['yes', 'no'],
    ['no', 'no', 'yes'],
  ]
  expect(votingAccuracy(answers, ['yes', 'yes', 'yes', 'no'])).toBe(0.75)
  expect(() => votingAccuracy(answers, ['yes'])).toThrow('4 questions, but 1 references')
})
