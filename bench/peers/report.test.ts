import { expect, test } from 'vitest'
import { limitOf, measurementsOf, type Race, ratiosOf, report } from './report.ts'

const step = (sample: number, reward: number, learn: number) => ({ sample, reward, learn })
const ours = [
  { ...step(1, 1, 2), operationsPerSecond: 4e9 },
  { ...step(1, 1, 6), operationsPerSecond: 2e9 },
]
const race = (change: Partial<Race> = {}): Race => ({
  size: 'tiny',
  workload: 'continuation',
  ours,
  peakBytes: 2e9,
  counted: { sample: 4e9, reward: 2e9, learn: 6e9 },
  operationsDone: 11e9,
  peers: [
    {
      name: 'paper',
      ours,
      theirs: [step(8, 8, 4), step(8, 8, 16)],
      peakBytes: 9e9,
      difference: { loss: 1e-6, gradientNorm: 1e-6, logRewards: 1e-6, rewards: 832 },
    },
  ],
  failures: [],
  ...change,
})

test('a ratio is that of the whole steps of one pair', () => {
  expect(ratiosOf(race().peers[0])).toEqual([20 / 4, 32 / 8])
})

test('each step is held to the counted work at the rate beside it, and the median step to that at the best rate', () => {
  const { rate, best, fractions, fractionAtBest } = limitOf(race())
  expect([rate, best]).toEqual([3e9, 4e9])
  expect(fractions).toEqual([12 / 4 / 4, 12 / 2 / 8])
  expect(fractionAtBest).toBe(12 / 4 / 6)
})

test('the report tells phases, pairs, memory, samples a second, work and agreement', () => {
  const text = report(race())
  expect(text).toContain('continuation, tiny: prompt 60, 64 × 12 tokens; medians of 2 runs of ours')
  expect(text).toMatch(/ours +│ +1\.000 │ +1\.000 │ +4\.000 │ +6\.000 │ +│ +│ +2\.0 GB │ +10\.67 /)
  expect(text).toMatch(
    /paper +│ +8\.000 │ +8\.000 │ +10\.000 │ +26\.000 │ +4\.50 × │ +5\.00 4\.00 │ +9\.0 GB │ +2\.46 /,
  )
  expect(text).toContain(
    'counted: 12.0 GFLOP (sample 4.0, reward 2.0, learn 6.0; ours did 11.0). The limit is 4.00 s at 3.0 GFLOP/s, what one large MatMul reaches beside a step of ours; ours reaches 75 % of it (step by step 75 75), and 50 % of 3.00 s at 4.0 GFLOP/s, the best that was seen',
  )
  expect(text).toContain('832 log-rewards 1.0e-6: within 0.001')
})

test('a float32 peer that finds something else is told apart, one in half precision or with int8 products is not held to it', () => {
  const difference = { loss: 0.01, gradientNorm: 0, logRewards: 0, rewards: 1 }
  const [peer] = race().peers
  expect(report(race({ peers: [{ ...peer, difference }] }))).toContain('NOT within 0.001')
  expect(report(race({ peers: [{ ...peer, difference, name: 'tuned-bfloat16' }] }))).toContain(': half precision')
  expect(report(race({ peers: [{ ...peer, difference, name: 'ours-int8' }] }))).toContain(': int8 products')
})

test('every phase is a measurement, and peers are controls', () => {
  const measurements = measurementsOf(race())
  expect(measurements.filter(({ isControl }) => !isControl).map(({ name, seconds }) => [name, seconds])).toEqual([
    ['tiny, continuation, ours, sample', [1, 1]],
    ['tiny, continuation, ours, reward', [1, 1]],
    ['tiny, continuation, ours, learn', [2, 6]],
    ['tiny, continuation, ours, step', [4, 8]],
  ])
  expect(measurements.filter(({ isControl }) => isControl)).toHaveLength(4)
})
