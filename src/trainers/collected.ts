/** @file What one prompt's part of a step is learned from, and how the state of a run keeps it where it was collected ahead. */
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { type Trajectory, trajectorySchema } from '../gflownet/trajectory.ts'
import type { Prompt } from './prompts.ts'

export type Collected = {
  prompt: Prompt
  /** The latents that were sampled (or, where nothing is, learned from) in this step. */
  fresh: readonly Trajectory[]
  /** For each update of the step, latents of the buffer besides the fresh ones; absent where a method replays none. */
  replayed?: readonly (readonly Trajectory[])[]
  seconds: { sample: number; reward: number }
}

/** The same as plain data: the prompt by its name. */
export type CollectedAhead = Omit<Collected, 'prompt'> & { prompt: string }

/** Reads what `JSON.stringify` wrote of it. */
export const aheadSchema = z.array(
  z.strictObject({
    prompt: z.string(),
    fresh: z.array(trajectorySchema),
    replayed: z.array(z.array(trajectorySchema)).optional(),
    seconds: z.strictObject({ sample: z.number(), reward: z.number() }),
  }),
)

export const keptAhead = (batches: readonly Collected[]): CollectedAhead[] =>
  batches.map(({ prompt, ...rest }) => ({ ...rest, prompt: prompt.name }))

/** The inverse, among a run's prompts. @throws UserError where one of them is not there any more */
export const takenAhead = (ahead: readonly CollectedAhead[], prompts: readonly Prompt[]): Collected[] =>
  ahead.map(({ prompt: name, ...rest }) => {
    const prompt = prompts.find((known) => known.name === name)
    if (!prompt)
      throw new UserError({
        what: `the next step has latents of "${name}", which is not among the prompts`,
        where: 'the state to resume from',
        fix: 'resume with the prompts that the run began with',
      })
    return { ...rest, prompt }
  })
