/** @file Pictures of a comparison of runs: how training went, what quality took, and what it takes for each query. */

import { qualityAgainstCost } from '../evaluation/pictures/costs.ts'
import { type Curve, type Panel, trainingCurves } from '../evaluation/pictures/curves.ts'
import type { Picture } from '../evaluation/pictures/picture.ts'
import { mean } from '../sums.ts'
import type { StepMetrics } from '../trainers/events.ts'
import { baselinePicture } from './baseline-picture.ts'
import type { ComparedRun, ComparisonTable, Group } from './compare.ts'
import { frontierPicture } from './frontier-picture.ts'

const metrics: { name: keyof StepMetrics; title: string }[] = [
  { name: 'reward/logMean', title: 'mean log R of the policy, nats' },
  { name: 'samples/length', title: 'mean length, tokens' },
  { name: 'policy/firstTokenEntropy', title: 'entropy of the first token, nats' },
  { name: 'samples/distinctFraction', title: 'distinct samples, fraction' },
]

/** A range beyond which logarithms show more. */
const WIDE = 4
/** Of the longest run, so many values are seen one by one. */
const SEEN_VALUES = 40

/** By the names of their files, without extension. */
export function comparisonPictures(table: ComparisonTable): Record<string, Picture> {
  const { groups } = table
  const evaluated = groups.filter(({ measures }) => measures.kl)
  const withBaselines = groups.filter(({ runs }) => runs.some(({ report }) => report?.baselines))
  return {
    'training-curves': curvesPicture(table),
    'reward-against-seconds': secondsPicture(table),
    ...(evaluated.length > 0 && { 'kl-against-seconds': klPicture(table, evaluated) }),
    ...Object.fromEntries(
      withBaselines.map((group, g) => [
        withBaselines.length > 1 ? `quality-against-compute-${g + 1}` : 'quality-against-compute',
        baselinePicture(
          withBaselines.length > 1 ? group.label : undefined,
          group.runs.flatMap(({ report }) => (report?.baselines ? [report] : [])),
        ),
      ]),
    ),
    ...(withBaselines.length > 0 && { frontier: frontierPicture(settingsOf(withBaselines), table.subject.task) }),
  }
}

const headingOf = ({ subject, groups }: ComparisonTable, what: string, marks: string) => {
  const seeds = Math.max(...groups.map(({ runs }) => runs.length))
  const model = subject.model.replace(/ \(.*/, '')
  return {
    title: `${what}: ${subject.task.replace(/ \(.*/, '')} with ${model}`,
    subtitle: seeds > 1 ? `${marks}: one standard deviation over up to ${seeds} seeds` : 'one seed each',
  }
}

const smoothingOf = (groups: readonly Group[]) =>
  Math.ceil(Math.max(...groups.flatMap(({ runs }) => runs.map(({ steps }) => steps.length))) / SEEN_VALUES)

function curvesPicture(table: ComparisonTable): Picture {
  const { groups } = table
  const panels = metrics.map(({ name, title }): Panel => {
    const curves = groups.map(
      ({ label, runs }): Curve => ({
        name: label,
        runs: runs.map(({ steps }) => steps.map(({ step, metrics }) => ({ x: step, y: metrics[name] }))),
      }),
    )
    return { title, curves }
  })
  return trainingCurves(headingOf(table, 'Training', 'bands'), panels, { smooth: smoothingOf(groups) })
}

/** Seconds of a step are the mean over the seeds, so that seeds meet at the same places. */
function secondsPicture(table: ComparisonTable): Picture {
  const curves = table.groups.map(({ label, runs }): Curve => {
    const elapsed = runs.map(elapsedSeconds)
    const at = (step: number) => mean(elapsed.flatMap((seconds) => seconds[step] ?? []))
    return {
      name: label,
      runs: runs.map(({ steps }) => steps.map(({ metrics }, i) => ({ x: at(i), y: metrics['reward/logMean'] }))),
    }
  })
  const panel = { title: 'mean log R of the policy, nats', curves }
  const heading = headingOf(table, 'Reward against time', 'bands')
  return trainingCurves(heading, [panel], { smooth: smoothingOf(table.groups), x: 'seconds of training' })
}

/** Groups that differ only in how long they trained are one curve: their labels differ in their steps alone. */
function klPicture(table: ComparisonTable, groups: readonly Group[]): Picture {
  const withoutSteps = (label: string) =>
    label
      .split(', ')
      .filter((part) => !part.startsWith('steps = '))
      .join(', ') || 'all'
  const names = [...new Set(groups.map(({ label }) => withoutSteps(label)))]
  const curves = names.map((name) => ({
    name,
    points: groups
      .filter(({ label }) => withoutSteps(label) === name)
      .sort((a, b) => a.cost.steps.mean - b.cost.steps.mean)
      .map(({ runs }) => {
        const evaluated = runs.filter(({ report }) => Number.isFinite(report?.summary.tuned.kl.value))
        return {
          cost: evaluated.map((run) => elapsedSeconds(run).at(-1)!),
          quality: evaluated.map(({ report }) => report!.summary.tuned.kl.value),
        }
      }),
  }))
  const seconds = curves.flatMap(({ points }) => points.flatMap(({ cost }) => cost))
  const isLogarithmic = Math.max(...seconds) > WIDE * Math.min(...seconds)
  return qualityAgainstCost(
    headingOf(table, 'Distance to the posterior against time', 'bars'),
    [{ quality: { title: 'KL(q ‖ posterior) after training, nats' }, curves }],
    { title: 'seconds of training', isLogarithmic },
  )
}

function elapsedSeconds({ steps }: ComparedRun): number[] {
  let elapsed = 0
  return steps.map(({ metrics }) => (elapsed += metrics['time/stepSeconds']))
}

/** Where temperatures alone tell groups apart they are one curve, from the highest to the lowest. */
function settingsOf(groups: readonly Group[]) {
  const onlyTemperatures = groups.every(({ label }) => /^T = [\d.]+$/.test(label))
  const ordered = onlyTemperatures
    ? [...groups].sort((a, b) => Number(b.label.slice(4)) - Number(a.label.slice(4)))
    : groups
  return ordered.map(({ label, runs }) => ({
    name: groups.length === 1 ? 'fine-tuned' : onlyTemperatures ? 'fine-tuned, by T' : `fine-tuned: ${label}`,
    runs: runs.flatMap(({ report }) => report?.baselines ?? []),
  }))
}
