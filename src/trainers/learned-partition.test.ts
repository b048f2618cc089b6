import { expect, test } from 'vitest'
import { learnPartition } from './learned-partition.ts'
import type { LearnedPartition } from './state.ts'

/** Gradient of the mean of (u − log Z)² for estimates u around `truth`. */
const gradient = (truth: number, value: number) => 2 * (value - truth)

test('the first batch puts log Z on the mean of its estimates', () => {
  expect(learnPartition(undefined, gradient(-41, 0), 0.1).value).toBe(-41)
})

test('later batches move it towards theirs, and it settles there', () => {
  let known: LearnedPartition = { value: -40, step: 0, first: 0, second: 0 }
  for (let step = 0; step < 300; step++) known = learnPartition(known, gradient(-43, known.value), 0.1)
  expect(Math.abs(known.value + 43)).toBeLessThan(0.05)
})
