import { expect, test } from 'vitest'
import { nearestName } from './nearest-name.ts'

test('a typing mistake finds the name that was meant', () => {
  expect(nearestName('maxTokns', ['minTokens', 'maxTokens', 'stop'])).toBe('maxTokens')
  expect(nearestName('Ending', ['beginning', 'ending'])).toBe('ending')
})

test('a name unlike all known ones has no nearest', () => {
  expect(nearestName('colour', ['maxTokens', 'stop'])).toBeUndefined()
  expect(nearestName('x', [])).toBeUndefined()
})

test('a name that is known is no mistake', () => {
  expect(nearestName('stop', ['stop', 'step'])).toBeUndefined()
})
