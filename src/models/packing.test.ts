import { expect, test } from 'vitest'
import { packRows } from './packing.ts'

test('rows follow one another without padding, and stand on a padded grid', () => {
  const { first, rows, places } = packRows([[10, 11], [], [20, 21, 22]])
  expect(first).toEqual([0, 2, 2])
  expect(rows.shape).toEqual([3, 3])
  expect(Array.from(rows.data, Number)).toEqual([0, 1, -1, -1, -1, -1, 2, 3, 4])
  expect(Array.from(places.data, Number)).toEqual([0, 1, 6, 7, 8])
})

test('rows and places are inverse to each other', () => {
  const packed = packRows([[1], [2, 3, 4], [], [5, 6]])
  const [rows, places] = [packed.rows, packed.places].map(({ data }) => Array.from(data, Number))
  for (const [token, place] of places.entries()) expect(rows[place]).toBe(token)
  expect(rows.filter((token) => token >= 0)).toHaveLength(places.length)
})
