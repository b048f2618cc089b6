/** @file Training curves: mean over seeds with one standard deviation to either side. */
import { linesView } from './lines.ts'
import { type Heading, type Picture, picture } from './picture.ts'
import { type Run, smoothed, spreadOverRuns } from './spread.ts'

/** One metric of a run's steps, for one run a seed. */
export type Curve = { name: string; runs: readonly Run[] }

/** A metric with the curves that are compared in it. */
export type Panel = {
  /** With its unit: "mean log R, nats". */
  title: string
  curves: readonly Curve[]
}

/**
 * Metrics over steps (`readStepMetrics` in trainers/run-metrics.ts), two panels a row.
 * @param smooth  steps that each value is averaged over, backwards; 1 shows what was measured
 * @param x       what the runs' x are, where they are not steps
 */
export function trainingCurves(
  heading: Heading,
  panels: readonly Panel[],
  { smooth = 1, x = 'step' }: { smooth?: number; x?: string } = {},
): Picture {
  const size = panels.length === 1 ? { width: 520, height: 320 } : { width: 360, height: 220 }
  const views = panels.map(({ title, curves }) => {
    const lines = curves.map(({ name, runs }) => ({
      name,
      points: spreadOverRuns(runs.map((run) => smoothed(run, smooth))),
    }))
    return linesView(lines, { x: { title: x }, y: { title }, marks: 'band', ...size })
  })
  if (views.length === 1) return picture(heading, views[0])
  return picture(heading, { columns: 2, spacing: 28, concat: views })
}
