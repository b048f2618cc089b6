/** @file What a benchmark measured, as a file that `bench:compare` reads. */
import { z } from 'zod'
import { readJson, writeJson } from '../src/files.ts'

const measurement = z.object({
  /** Says what was timed; the same in every file of the same command. */
  name: z.string(),
  /** Of every run that counts, in order. */
  seconds: z.array(z.number().positive()).min(2, 'one run tells nothing of the noise: measure again, more often'),
  /** Peak resident memory of the process until then. */
  peakBytes: z.number().positive(),
  /** Code that is not ours: where it became slower, the machine did. */
  isControl: z.boolean().default(false),
})

const results = z.object({
  command: z.string(),
  machine: z.string(),
  measurements: z.array(measurement).min(1),
})

export type Measurement = z.infer<typeof measurement>
export type Results = z.infer<typeof results>

/** @throws UserError where the file is absent or none of a benchmark, or was measured only once */
export const readResults = (path: string): Results => readJson(path, results as z.ZodType<Results>)

/** `details`: all that the command found, for other readers. */
export const writeResults = (
  path: string,
  given: Omit<Results, 'measurements'> & { measurements: z.input<typeof measurement>[]; details: unknown },
) => writeJson(path, given)
