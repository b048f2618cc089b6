import { expect, test } from 'vitest'
import { logAddExp, logMeanExp, logSumExp } from './log-space.ts'

test('the sum of known masses is their sum', () => {
  const masses = [0.1, 2, 0.4, 7.5]
  expect(logSumExp(masses.map(Math.log))).toBeCloseTo(Math.log(10), 14)
  expect(logMeanExp(masses.map(Math.log))).toBeCloseTo(Math.log(2.5), 14)
  expect(logAddExp(Math.log(2), Math.log(7.5))).toBeCloseTo(Math.log(9.5), 14)
})

test('masses beyond the range of a double are summed without overflow or underflow', () => {
  expect(logSumExp([1000, 1000])).toBe(1000 + Math.log(2))
  expect(logSumExp([-1000, -1000, -1000])).toBe(-1000 + Math.log(3))
  expect(logAddExp(-1000, -1001)).toBeCloseTo(-1000 + Math.log1p(Math.exp(-1)), 12)
})

test('a mass of zero adds nothing, and zeros alone sum to zero', () => {
  expect(logSumExp([-Infinity, 3, -Infinity])).toBe(3)
  expect(logAddExp(-Infinity, 3)).toBe(3)
  expect(logAddExp(3, -Infinity)).toBe(3)
  expect(logSumExp([-Infinity, -Infinity])).toBe(-Infinity)
  expect(logAddExp(-Infinity, -Infinity)).toBe(-Infinity)
  expect(logMeanExp([-Infinity, -Infinity])).toBe(-Infinity)
})

test('no values sum to zero and have no mean', () => {
  expect(logSumExp([])).toBe(-Infinity)
  expect(logMeanExp([])).toBeNaN()
})

test('a NaN is never swallowed', () => {
  expect(logSumExp([Number.NaN, 1])).toBeNaN()
  expect(logSumExp([-Infinity, Number.NaN])).toBeNaN()
  expect(logAddExp(-Infinity, Number.NaN)).toBeNaN()
})

test('typed arrays serve as well as lists', () => {
  expect(logSumExp(Float64Array.of(0, 0, 0, 0))).toBe(Math.log(4))
})
