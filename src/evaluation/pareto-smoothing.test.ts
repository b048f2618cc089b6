import { expect, test } from 'vitest'
import { logSumExp } from '../log-space.ts'
import { seededRandom } from '../random.ts'
import { paretoQuantile } from './generalized-pareto.ts'
import { paretoSmoothed } from './pareto-smoothing.ts'

/** The generator of Park and Miller, so that another program can draw the same numbers. */
function uniforms(count: number): number[] {
  let state = 20_240_507
  return Array.from({ length: count }, () => {
    state = (16_807 * state) % 2_147_483_647
    return state / 2_147_483_647
  })
}

/** k̂, and the largest, third-largest and smallest smoothed log weight, normalised: `arviz.psislw` of ArviZ 0.23.4. */
test.each([
  [24, 0.2, 0.4903678862497004, -2.73482622286249, -2.944196663550172, -3.3540838954433214],
  [24, 1.1, 0.6941535532200327, -1.2537496176873606, -2.3674594154931796, -4.582665056421686],
  [100, 0.7, 0.5158134446728688, -2.714832903798233, -3.43175090019783, -5.44653225086261],
  [1000, 0.2, 0.19896195078362497, -5.585775871305804, -5.915561785941918, -7.133209344130183],
  [1000, 0.7, 0.6115970190037104, -2.95952324563572, -3.9596384074350137, -8.015374489452801],
  [1000, 1.1, 0.9470112197980983, -1.5273273180308473, -3.058283911263105, -9.318142754068832],
])('%d weights of Pareto shape %d are smoothed as by ArviZ', (count, shape, k, largest, third, smallest) => {
  const { logWeights, paretoK } = paretoSmoothed(uniforms(count).map((u) => -shape * Math.log(u)))
  const logTotal = logSumExp(logWeights)
  const ascending = logWeights.map((logWeight) => logWeight - logTotal).sort()
  expect(paretoK).toBeCloseTo(k, 9)
  expect(ascending[count - 1]).toBeCloseTo(largest, 9)
  expect(ascending[count - 3]).toBeCloseTo(third, 9)
  expect(ascending[0]).toBeCloseTo(smallest, 9)
})

test('weights of zero and tiny weights are smoothed as by ArviZ', () => {
  const { paretoK, logWeights } = paretoSmoothed(
    uniforms(1000).map((u, i) => (i % 3 === 0 ? -Infinity : -0.5 * Math.log(u) - 500)),
  )
  expect(paretoK).toBeCloseTo(0.6080863387900547, 9)
  expect(Math.max(...logWeights) - logSumExp(logWeights)).toBeCloseTo(-3.3583326963204434, 9)
  expect(logWeights.filter((logWeight) => logWeight === -Infinity)).toHaveLength(334)
})

test.each([0.2, 0.7, 1.1])(
  'k̂ of weights drawn from a generalized Pareto distribution of shape %d is that shape',
  (shape) => {
    const estimates = Array.from({ length: 12 }, (_, repetition) => {
      const draws = seededRandom(repetition).at('weights')
      const weights = Float64Array.from({ length: 10_000 }, () => paretoQuantile({ shape, scale: 1 }, draws.uniform()))
      return paretoSmoothed(weights.map(Math.log)).paretoK!
    })
    const mean = estimates.reduce((sum, k) => sum + k, 0) / estimates.length
    const pull = (10 / 310) * (shape - 0.5) // of the prior, on a tail of 300
    expect(Math.abs(mean - (shape - pull))).toBeLessThan((4 * (1 + shape)) / Math.sqrt(300 * 12))
  },
)

test('smoothing keeps the scale, the order and everything below the tail, and exceeds no weight', () => {
  const given = uniforms(400).map((u) => 7 - 0.9 * Math.log(u))
  const { logWeights } = paretoSmoothed(given)
  const order = (values: ArrayLike<number>) => Array.from(values, (_, i) => i).sort((a, b) => values[a] - values[b])
  expect(order(logWeights)).toEqual(order(given))
  const body = order(given).slice(0, 340) // all but min(400 / 5, 3 · 20)
  for (const sample of body) expect(logWeights[sample]).toBe(given[sample])
  expect(logWeights.filter((logWeight, sample) => logWeight !== given[sample]).length).toBeGreaterThan(50)
  expect(Math.max(...logWeights)).toBeLessThanOrEqual(Math.max(...given))
})

test('the given weights are left as they were', () => {
  const given = Float64Array.from(uniforms(100), (u) => -Math.log(u))
  const copy = given.slice()
  paretoSmoothed(given)
  expect(given).toEqual(copy)
})

test.each([
  ['no weights', []],
  ['twenty weights, whose tail is four', uniforms(20).map(Math.log)],
  ['equal weights', Array(1000).fill(-3)],
  ['weights that are all zero', Array(1000).fill(-Infinity)],
])('%s have no tail to judge and stay as they are', (_, given) => {
  const { paretoK, logWeights } = paretoSmoothed(given)
  expect(paretoK).toBeUndefined()
  expect([...logWeights]).toEqual(given)
})
