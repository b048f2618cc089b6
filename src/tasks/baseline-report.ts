/**
 * @file What a run's training is worth beside methods that need none: quality against compute for each query, and after how
 * many queries training has paid.
 */
import { type BaselineName, baselineNames } from '../baselines/index.ts'
import { UserError } from '../errors.ts'
import { type BreakEven, breakEven, type CostPoint } from '../evaluation/equal-compute/break-even.ts'
import {
  type BaselineComparison,
  type MethodSummary,
  summariseMethod,
} from '../evaluation/equal-compute/compare-baselines.ts'
import type { Estimate } from '../evaluation/estimate.ts'
import { nearestName } from '../nearest-name.ts'
import { readStepMetrics } from '../trainers/run-metrics.ts'

/** The sampler that all methods run on, and the one that training made. */
export const BASE = 'base'
export const TUNED = 'tuned'

export type BaselineReport = Pick<BaselineComparison, 'perQuery' | 'budgets'> & {
  /** Prompts that were asked. */
  queries: number
  methods: MethodSummary[]
  /** What the steps took, lanes added up; so do the seconds of queries, each of which has one lane. */
  trainingSeconds: number
  /** By each measure of quality; absent where importance resampling was not run. */
  paid: Partial<Record<Quality, BreakEven>>
}

/** Equal mean log R, or equal KL(q ‖ posterior). */
export type Quality = 'logReward' | 'kl'

/** The larger the better; of methods that draw from a pool, that of independent latents, which plain samples are. */
const qualities: Record<Quality, (summary: MethodSummary) => Estimate | undefined> = {
  logReward: ({ measures }) => measures.independentLogReward ?? measures.meanLogReward,
  kl: ({ measures }) => negative(measures.independentKl ?? measures.kl),
}

const negative = (estimate: Estimate | undefined) => estimate && { ...estimate, value: -estimate.value }

/** @param run its folder */
export function reportBaselines(run: string, comparison: BaselineComparison): BaselineReport {
  const summaries = comparison.methods.map(summariseMethod)
  const queries = comparison.methods[0].answers.length
  const trainingSeconds = trainingSecondsOf(run)
  const paid = Object.entries(qualities).flatMap(([name, qualityOf]) => {
    const found = paidBy(qualityOf, summaries, { queries, trainingSeconds })
    return found ? [[name, found]] : []
  })
  const { perQuery, budgets } = comparison
  return { perQuery, budgets, queries, methods: summaries, trainingSeconds, paid: Object.fromEntries(paid) }
}

/** Its rival is importance resampling from the base model: no other gives independent latents of a law that is known. */
function paidBy(
  qualityOf: (summary: MethodSummary) => Estimate | undefined,
  summaries: readonly MethodSummary[],
  { queries, trainingSeconds }: { queries: number; trainingSeconds: number },
): BreakEven | undefined {
  const points = (method: BaselineName, sampler: string) =>
    summaries
      .filter((summary) => summary.method === method && summary.sampler === sampler && summary.answered === queries)
      .flatMap((summary): CostPoint[] => {
        const { seconds, forwardTokens } = summary.measures
        const quality = qualityOf(summary)
        return quality ? [{ quality: quality.value, seconds: seconds!.value, forwardTokens: forwardTokens!.value }] : []
      })
  const [tuned] = points('ancestral', TUNED)
  const resampling = points('importance-resampling', BASE)
  return resampling.length > 0
    ? breakEven(trainingSeconds, tuned, [...points('ancestral', BASE), ...resampling])
    : undefined
}

const trainingSecondsOf = (run: string) =>
  readStepMetrics(run).reduce(
    (sum, { metrics }) =>
      sum + metrics['time/sampleSeconds'] + metrics['time/rewardSeconds'] + metrics['time/learnSeconds'],
    0,
  )

/** @throws UserError for a name that no baseline has */
export function baselinesNamed(names: readonly string[]): BaselineName[] {
  for (const name of names) {
    if ((baselineNames as readonly string[]).includes(name)) continue
    const nearest = nearestName(name, baselineNames)
    const fix = nearest ? `did you mean "${nearest}"?` : `there is ${baselineNames.join(', ')}`
    throw new UserError({ what: `there is no baseline "${name}"`, fix })
  }
  return names as BaselineName[]
}
