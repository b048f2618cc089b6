import { expect, test } from 'vitest'
import { type FirstTokenWatch, unwatched, watchFirstToken } from './collapse.ts'

/** Watches a run whose first token has these entropies; returns the steps at which it was warned. */
function warnings(entropies: readonly number[], fraction = 0.1) {
  let watch: FirstTokenWatch = unwatched
  return entropies.flatMap((entropy, step) => {
    const result = watchFirstToken(watch, entropy, fraction)
    watch = result.watch
    return result.warning ? [{ step, ...result.warning }] : []
  })
}
const steady = (value: number, steps: number) => new Array<number>(steps).fill(value)

test('a run whose first tokens become alike is warned once, with what to change', () => {
  const [warning, ...rest] = warnings([...steady(2, 20), ...steady(0.01, 200)])
  expect(rest).toEqual([])
  expect(warning.step).toBeGreaterThan(60) // a few steps prove nothing
  expect(warning.step).toBeLessThan(100)
  expect(warning.what).toMatch(/fell from 2\.00 to 0\.20 nats$/)
  expect(warning.fix).toContain('sources.tempered')
})

test('a run that stays diverse, one that was never diverse, and one that asks for no warning are not warned', () => {
  expect(warnings([...steady(2, 20), ...steady(0.5, 300)])).toEqual([])
  expect(warnings(steady(0.001, 300))).toEqual([])
  expect(warnings(steady(0, 300))).toEqual([])
  expect(warnings([...steady(2, 20), ...steady(0, 300)], 0)).toEqual([])
})

test('steps in which the policy itself sampled nothing change nothing', () => {
  const { watch } = watchFirstToken(unwatched, Number.NaN, 0.1)
  expect(watch).toBe(unwatched)
})
