import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { calibration } from './calibration.ts'

/** Made with scikit-learn by test/golden/make-metrics.py. */
const golden = JSON.parse(readFileSync(new URL('../../test/golden/metrics.json', import.meta.url), 'utf8'))
  .calibration as {
  bins: number
  confidence: number[]
  correct: boolean[]
  counts: number[]
  bin_confidence: number[]
  bin_accuracy: number[]
  expected_calibration_error: number
}[]

describe.each(golden)('with $bins bins', ({ bins, confidence, correct, ...wanted }) => {
  test('bins and expected error are those of scikit-learn', () => {
    const result = calibration(confidence, correct, { bins })
    expect(result.bins.map(({ count }) => count)).toEqual(wanted.counts)
    const filled = result.bins.filter(({ count }) => count > 0)
    for (const [i, { meanConfidence, accuracy }] of filled.entries()) {
      expect(meanConfidence).toBeCloseTo(wanted.bin_confidence[i], 12)
      expect(accuracy).toBeCloseTo(wanted.bin_accuracy[i], 12)
    }
    expect(filled).toHaveLength(wanted.bin_accuracy.length)
    expect(result.expectedError).toBeCloseTo(wanted.expected_calibration_error, 12)
  })
})

test('a confidence on an edge belongs to the bin below it', () => {
  const edges = Array.from({ length: 11 }, (_, i) => i / 10)
  const { bins } = calibration(edges, edges.map(Boolean))
  expect(bins.map(({ count }) => count)).toEqual([2, 1, 1, 1, 1, 1, 1, 1, 1, 1])
  expect(bins[6]).toMatchObject({ from: 0.6, to: 0.7, meanConfidence: 0.7 })
})

test('errors are 0 where confidence is right, and 1 where it is always wrong', () => {
  expect(calibration([0.5, 0.5, 1], [true, false, true])).toMatchObject({ expectedError: 0, maximumError: 0 })
  expect(calibration([1, 1], [false, false])).toMatchObject({ expectedError: 1, maximumError: 1 })
})

test('no answers have no error to speak of, and what is no probability is refused', () => {
  expect(calibration([], []).expectedError).toBeNaN()
  expect(() => calibration([1.2], [true])).toThrow('confidence 1.2 of answer 0')
  expect(() => calibration([Number.NaN], [true])).toThrow('confidence NaN')
  expect(() => calibration([0.5], [])).toThrow('1 confidences for 0 answers')
})
