/** @file Who is compared: the paper's algorithm, ours as it is, and ours with each thing that makes it cheaper. */
import type { TrainingOptions } from '../../src/trainers/config.ts'
import { withDefaults } from '../../src/trainers/config.ts'

/** What is set otherwise than in the problem's options. */
export const ours = {
  plain: {},
  'int8 rollouts': { rollouts: 'int8' },
  'a quarter of the prefixes': { prefixFraction: 0.25 },
  'two updates a step': { updatesPerStep: 2, sources: { replay: 0.25 } },
  /** What equal beginnings of latents cost once makes more latents cheap. */
  'more latents': { samplesPerPrompt: 256 },
  all: { rollouts: 'int8', samplesPerPrompt: 256 },
} as const satisfies Record<string, TrainingOptions>

export type OursName = keyof typeof ours
export type ContestantName = 'paper' | OursName
export const contestantNames = ['paper', ...(Object.keys(ours) as OursName[])] as const

export const optionsOf = (name: OursName, options: TrainingOptions): TrainingOptions =>
  withDefaults(options, ours[name])
