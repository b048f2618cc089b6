/**
 * @file The table of baselines that need no training, with the settings of Hu et al. 2024, section 4.1, where it has them.
 * Each runs on any sampler: the base model, or a trained adapter, which then is what is decoded or proposed from.
 */
import { beam } from './beam.ts'
import { bestOfN } from './best-of-n.ts'
import { diverseBeam } from './diverse-beam.ts'
import { greedy } from './greedy.ts'
import { importanceResampling } from './importance-resampling.ts'
import type { InferenceMethod } from './method.ts'
import { metropolisHastings } from './metropolis-hastings.ts'
import { nucleus } from './nucleus.ts'
import { sequentialMonteCarlo } from './sequential-monte-carlo.ts'
import { ancestral, tempered } from './tempered.ts'
import { topK } from './top-k.ts'

export const baselines = {
  greedy: greedy(),
  ancestral: ancestral(),
  tempered: tempered(),
  'top-k': topK(),
  nucleus: nucleus(),
  beam: beam(),
  'beam-5': beam(5),
  'diverse-beam': diverseBeam(),
  'diverse-beam-5': diverseBeam(5),
  'best-of-n': bestOfN(),
  'importance-resampling': importanceResampling(),
  'sequential-monte-carlo': sequentialMonteCarlo(),
  'metropolis-hastings': metropolisHastings(),
} satisfies Record<string, InferenceMethod>

export type BaselineName = keyof typeof baselines
export const baselineNames = Object.keys(baselines) as BaselineName[]
