/** @file Who is compared: the paper's algorithm, ours as it is, and ours with each thing that makes it cheaper. */
import type { Storage } from '../../src/tensor/ops/stored.ts'
import { type TrainingOptions, withDefaults } from '../../src/trainers/config.ts'
import type { ProblemName } from './problems.ts'

type Ours = {
  /** What is set otherwise than in the problem's options. */
  options: TrainingOptions
  /** How the model is held while it trains; default: float32, as it is judged. */
  weights?: Storage
  /** Into how many the threads are divided; default: one. */
  lanes?: number
}

const ours = {
  plain: { options: {} },
  'half-precision weights': { options: {}, weights: 'float16' },
  'int8 rollouts': { options: { rollouts: 'int8' } },
  'int8 products': { options: { rollouts: 'int8', scoring: 'int8', learning: 'int8' } },
  /** A step is sampled and scored while the one before learns. */
  overlap: { options: { overlap: true }, lanes: 2 },
  /** Fewer tempered latents than in the paper's code for stories, and nearer to the policy. */
  'milder temperatures': { options: { sources: { tempered: 0.25, temperatures: { from: 0.8, to: 1.4 } } } },
  'a quarter of the prefixes': { options: { prefixFraction: 0.25 } },
  /** Trajectory balance without log Z: no inner prefix is asked for its reward. */
  'whole latents': { options: { objective: { name: 'log-partition-variance' } } },
  'three updates a step': { options: { updatesPerStep: 3, sources: { replay: 0.25 } } },
  /** What equal beginnings of latents cost once makes more latents cheap, where they are short. */
  'more latents': { options: { samplesPerPrompt: 256 } },
} as const satisfies Record<string, Ours>

/** Together what pays on a problem. */
const all: Record<ProblemName, Ours> = {
  'random-numbers': ours['int8 products'],
  infilling: {
    options: {
      ...ours['int8 products'].options,
      ...ours['whole latents'].options,
      ...ours['milder temperatures'].options,
    },
  },
}

const together = {
  all: (problem) => all[problem],
  'all, overlapped': (problem) => ({ options: { ...all[problem].options, ...ours.overlap.options }, lanes: 2 }),
} as const satisfies Record<string, (problem: ProblemName) => Ours>

type OursName = keyof typeof ours
type TogetherName = keyof typeof together
export type ContestantName = 'paper' | OursName | TogetherName
export const contestantNames: readonly ContestantName[] = [
  'paper',
  ...(Object.keys(ours) as OursName[]),
  ...(Object.keys(together) as TogetherName[]),
]

const oursOf = (name: Exclude<ContestantName, 'paper'>, problem: ProblemName): Ours =>
  name in together ? together[name as TogetherName](problem) : ours[name as OursName]

/** The options of a contestant, where a problem has these, and how it holds the model and the threads. The paper's has those of plain. */
export function settingOf(name: ContestantName, problem: ProblemName, options: TrainingOptions & { steps: number }) {
  const { options: own, weights = 'float32', lanes } = oursOf(name === 'paper' ? 'plain' : name, problem)
  return { options: { ...withDefaults(options, own), steps: options.steps }, held: { weights, lanes } }
}
