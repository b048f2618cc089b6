import { availableParallelism } from 'node:os'
import { expect, test } from 'vitest'
import { grantedCores } from './threads.ts'

test('this process may use at least one core and no more than the scheduler allows', () => {
  const cores = grantedCores()
  expect(Number.isInteger(cores)).toBe(true)
  expect(cores).toBeGreaterThanOrEqual(1)
  expect(cores).toBeLessThanOrEqual(availableParallelism())
})
