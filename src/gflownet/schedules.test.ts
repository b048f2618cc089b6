import { expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { type ScheduleConfig, schedule, scheduleSchema, warmUp } from './schedules.ts'

const at = (config: ScheduleConfig, steps: number[]) => steps.map(schedule(config, 100))

test('a number is a constant schedule', () => {
  expect(at(0.9, [0, 1, 1000])).toEqual([0.9, 0.9, 0.9])
})

test('a linear schedule goes evenly from one value to the other and stays there', () => {
  expect(at({ from: 2, to: 1, steps: 4 }, [0, 1, 2, 3, 4, 5, 100])).toEqual([2, 1.75, 1.5, 1.25, 1, 1, 1])
})

test('a cosine schedule leaves and arrives gently', () => {
  const values = at({ from: 0, to: 1, steps: 4, shape: 'cosine' }, [0, 1, 2, 3, 4, 9])
  const expected = [0, (1 - Math.SQRT1_2) / 2, 0.5, (1 + Math.SQRT1_2) / 2, 1, 1]
  for (const [i, value] of values.entries()) expect(value).toBeCloseTo(expected[i], 14)
})

test('a way without a number of steps takes the whole run', () => {
  const values = [0, 5, 10, 20].map(schedule({ from: 1, to: 0 }, 10))
  expect(values).toEqual([1, 0.5, 0, 0])
})

test('a learning rate rises to its peak in the steps of its warm-up, then decays', () => {
  const rate = warmUp(4, schedule({ from: 0.8, to: 0, steps: 8 }, 500))
  const expected = [0.2, 0.4, 0.6, 0.8, 0.8, 0.7, 0.6]
  for (const [step, value] of expected.entries()) expect(rate(step)).toBeCloseTo(value, 14)
  expect(rate(12)).toBe(0)
  expect(rate(500)).toBe(0)
})

test('a warm-up of no steps is none', () => {
  expect(warmUp(0, schedule(0.5, 10))(0)).toBe(0.5)
})

test('the schema knows constants and ways, and fills in the shape', () => {
  expect(scheduleSchema().parse(0.5)).toBe(0.5)
  expect(scheduleSchema().parse({ from: 1, to: 2, steps: 3 })).toEqual({ from: 1, to: 2, steps: 3, shape: 'linear' })
  expectTypeOf<z.output<ReturnType<typeof scheduleSchema>>>().toExtend<ScheduleConfig>()
})

test.each([
  ['a zero', 0],
  ['an end that is not positive', { from: 1, to: -1, steps: 3 }],
  ['no steps', { from: 1, to: 2, steps: 0 }],
  ['an unknown shape', { from: 1, to: 2, steps: 3, shape: 'zigzag' }],
  ['an unknown key', { from: 1, to: 2, steps: 3, horizon: 4 }],
])('a schedule of positive numbers refuses %s', (_, config) => {
  expect(scheduleSchema(z.number().positive()).safeParse(config).success).toBe(false)
})
