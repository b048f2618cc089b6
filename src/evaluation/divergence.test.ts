import { expect, test } from 'vitest'
import { entropy, klDivergence, normaliseLog, totalVariation } from './divergence.ts'

const p = [0.5, 0.25, 0.25, 0].map(Math.log)
const q = [0.25, 0.25, 0.25, 0.25].map(Math.log)

test('masses are divided by their sum, however small they are', () => {
  const expected = [0.2, 0.3, 0.5, 0].map(Math.log)
  const normalised = normaliseLog([2, 3, 5, 0].map((mass) => Math.log(mass) - 2000))
  for (const [i, logP] of normalised.entries()) expect(logP === expected[i] ? 0 : logP - expected[i]).toBeCloseTo(0, 12)
})

test('masses that are all zero are refused', () => {
  expect(() => normaliseLog([-Infinity, -Infinity])).toThrow('no distribution')
})

test('the total variation is half the summed difference', () => {
  expect(totalVariation(p, q)).toBeCloseTo(0.25, 14)
  expect(totalVariation(q, p)).toBeCloseTo(0.25, 14)
  expect(totalVariation(p, p)).toBe(0)
  expect(totalVariation([0, -Infinity], [-Infinity, 0])).toBe(1)
})

test('the divergence is not symmetric, and infinite where the other excludes an outcome', () => {
  expect(klDivergence({ of: p, from: q })).toBeCloseTo(0.5 * Math.log(2), 14)
  expect(klDivergence({ of: q, from: p })).toBe(Infinity)
  expect(klDivergence({ of: p, from: p })).toBe(0)
})

test('the entropy of equal outcomes is the log of their number, and a certainty has none', () => {
  expect(entropy(q)).toBeCloseTo(Math.log(4), 14)
  expect(entropy(p)).toBeCloseTo(1.5 * Math.log(2), 14)
  expect(entropy([0, -Infinity])).toBe(0)
})

test('distributions over different supports are refused', () => {
  expect(() => totalVariation(p, [0])).toThrow('supports of 4 and 1 outcomes differ')
  expect(() => klDivergence({ of: [0], from: p })).toThrow('supports of 1 and 4 outcomes differ')
})
