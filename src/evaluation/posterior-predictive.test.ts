import { expect, test } from 'vitest'
import { posteriorPredictive } from './posterior-predictive.ts'

const logs = (rows: number[][]) => rows.map((row) => row.map(Math.log))
const sure = Math.log(2) // nats of a coin

test('latents that agree leave no epistemic uncertainty', () => {
  const result = posteriorPredictive(
    logs([
      [0.7, 0.2, 0.1],
      [0.7, 0.2, 0.1],
    ]),
  )
  expect(Array.from(result.probabilities, (p) => Number(p.toFixed(12)))).toEqual([0.7, 0.2, 0.1])
  expect(result).toMatchObject({ answer: 0, epistemicUncertainty: 0 })
  expect(result.confidence).toBeCloseTo(0.7, 12)
  expect(result.totalUncertainty).toBeCloseTo(-0.7 * Math.log(0.7) - 0.2 * Math.log(0.2) - 0.1 * Math.log(0.1), 12)
})

test('certain latents that contradict each other leave nothing else', () => {
  const result = posteriorPredictive(
    logs([
      [1, 0],
      [0, 1],
    ]),
  )
  expect(result.totalUncertainty).toBeCloseTo(sure, 12)
  expect(result.aleatoricUncertainty).toBe(0)
  expect(result.epistemicUncertainty).toBeCloseTo(sure, 12)
})

test('the information is the mean divergence of each latent from all of them', () => {
  const rows = [
    [0.9, 0.1],
    [0.3, 0.7],
    [0.5, 0.5],
  ]
  const mean = [1.7 / 3, 1.3 / 3]
  const wanted = rows.map((row) => row[0] * Math.log(row[0] / mean[0]) + row[1] * Math.log(row[1] / mean[1]))
  const { epistemicUncertainty, probabilities } = posteriorPredictive(logs(rows))
  expect(epistemicUncertainty).toBeCloseTo((wanted[0] + wanted[1] + wanted[2]) / 3, 12)
  expect(probabilities[0]).toBeCloseTo(mean[0], 12)
})

test('weights count samples as often as they say, and rows count up to a constant', () => {
  const rows = [
    [0.9, 0.1],
    [0.3, 0.7],
  ]
  const thrice = posteriorPredictive(logs([rows[0], rows[1], rows[1], rows[1]]))
  const scaled = rows.map((row) => row.map((p) => Math.log(p) - 50))
  const weighted = posteriorPredictive(scaled, [1, 3].map(Math.log))
  expect(weighted.confidence).toBeCloseTo(thrice.confidence, 12)
  expect(weighted.epistemicUncertainty).toBeCloseTo(thrice.epistemicUncertainty, 12)
})

test('nothing to average over is refused', () => {
  expect(() => posteriorPredictive([])).toThrow('no samples')
  expect(() => posteriorPredictive([[0]], [0, 0])).toThrow('2 weights for 1 samples')
})
