/** @file Numbers that change during training. Configs name them, code calls them: a schedule is a function of the step. */
import { z } from 'zod'

/** The value at a step; steps count from 0, and the first update is step 0. */
export type Schedule = (step: number) => number

/**
 * A constant, or a way from one value to another in so many steps, and constant after that. Without a number of steps the
 * way takes the whole run. Linear unless said otherwise.
 */
export type ScheduleConfig = number | { from: number; to: number; steps?: number; shape?: ScheduleShape }
export type ScheduleShape = 'linear' | 'cosine'

/** The config of a schedule all of whose values satisfy `value`: `scheduleSchema(z.number().positive())`. */
export const scheduleSchema = (value: z.ZodType<number, number> = z.number()) =>
  z.union([
    value,
    z.strictObject({
      from: value,
      to: value,
      steps: z.number().int().positive().optional(),
      shape: z.enum(['linear', 'cosine']).default('linear'),
    }),
  ])

/** The largest value that a schedule takes. */
export const largestOf = (config: ScheduleConfig): number =>
  typeof config === 'number' ? config : Math.max(config.from, config.to)

/** Fraction of the way as a function of the fraction of the steps, both in [0, 1]. */
const shapes = {
  linear: (fraction) => fraction,
  cosine: (fraction) => (1 - Math.cos(Math.PI * fraction)) / 2,
} satisfies Record<ScheduleShape, (fraction: number) => number>

/** The schedule that a config names, in a run of `runSteps` steps. */
export function schedule(config: ScheduleConfig, runSteps: number): Schedule {
  if (typeof config === 'number') return () => config
  const { from, to, steps = runSteps, shape = 'linear' } = config
  return (step) => from + (to - from) * shapes[shape](Math.min(1, step / steps))
}

/**
 * A learning rate that rises linearly to the first value of `after` in `steps` updates, and then follows it. Update k has
 * (k + 1) / steps of the full rate: the first update is not wasted on a rate of zero (the paper's code wastes it).
 */
export const warmUp =
  (steps: number, after: Schedule): Schedule =>
  (step) =>
    step < steps ? (after(0) * (step + 1)) / steps : after(step - steps)
