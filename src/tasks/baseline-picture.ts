/** @file Quality against compute for each query: methods without training, from the base model and from the trained one. */

import type { BaselineName } from '../baselines/index.ts'
import type { AnswerMeasures } from '../evaluation/equal-compute/answer.ts'
import type { MethodSummary } from '../evaluation/equal-compute/compare-baselines.ts'
import { methods, runsOnAnySampler } from '../evaluation/equal-compute/laws.ts'
import { type CostCurve, type CostPanel, qualityAgainstCost } from '../evaluation/pictures/costs.ts'
import type { Picture } from '../evaluation/pictures/picture.ts'
import { mean } from '../sums.ts'
import { BASE, type BaselineReport } from './baseline-report.ts'

/** What of a report is drawn. */
export type DrawnReport = {
  baselines?: BaselineReport
  prompts: readonly { posterior: { meanLogReward: number } }[]
}

/**
 * @param subject  which runs these are, where there are others
 * @param reports  of one run, or of runs that differ in the seed; each with baselines
 */
export function baselinePicture(subject: string | undefined, reports: readonly DrawnReport[]): Picture {
  const found = reports.flatMap(({ baselines }) => baselines ?? [])
  const { perQuery, queries } = found[0]
  const rewards = reports.map(({ prompts }) =>
    mean(prompts.slice(0, queries).map(({ posterior }) => posterior.meanLogReward)),
  )
  const panels: CostPanel[] = [
    {
      quality: { title: 'mean log R, nats' },
      curves: curvesOf(found, 'meanLogReward'),
      level: { value: mean(rewards), label: 'of the posterior' },
    },
    { quality: { title: 'KL(q ‖ posterior), nats' }, curves: curvesOf(found, 'kl') },
    { quality: { title: 'distinct samples of a query', format: '~%' }, curves: curvesOf(found, 'distinctFraction') },
  ]
  const seeds = found.length > 1 ? `; bars: one standard deviation over ${found.length} seeds` : ''
  return qualityAgainstCost(
    {
      title: `Quality against compute for each query${subject === undefined ? '' : `: ${subject}`}`,
      subtitle: `A query wants ${perQuery} samples; ${queries} queries${seeds}. KL: a bound from above, except of plain sampling`,
    },
    panels,
    { title: 'forward tokens of a query', isLogarithmic: true },
  )
}

/**
 * A curve through its budgets for each method that looks at the reward, and each sampler that it draws from; plain sampling is
 * a point. Decoding and search, which look at likelihood alone, are the frontier's.
 */
function curvesOf(reports: readonly BaselineReport[], measure: keyof AnswerMeasures): CostCurve[] {
  const drawn = reports.map(({ methods, queries }) =>
    methods.filter(({ method, answered }) => runsOnAnySampler(method) && answered === queries),
  )
  const keys = [...new Set(drawn.flat().map(keyOf))]
  return keys.flatMap((key): CostCurve[] => {
    const [method, sampler] = key.split(' ')
    const own = drawn.map((summaries) => summaries.filter((summary) => keyOf(summary) === key))
    const points = Math.max(...own.map(({ length }) => length))
    const measured = Array.from({ length: points }, (_, i) => own.flatMap((summaries) => summaries[i] ?? []))
      .map((at) => at.filter(({ measures }) => Number.isFinite(measures[measure]?.value)))
      .filter((at) => at.length > 0)
      .map((at) => ({
        cost: at.map(({ measures }) => measures.forwardTokens!.value),
        quality: at.map(({ measures }) => measures[measure]!.value),
      }))
    if (measured.length === 0) return []
    const variant = sampler === BASE ? 'from the base model' : 'from the fine-tuned one'
    return [{ name: methods[method as BaselineName].title, variant, points: measured }]
  })
}

const keyOf = ({ method, sampler }: MethodSummary) => `${method} ${sampler}`
