/** @file What quality costs: seconds of training, forward tokens of a query. */
import { type Axis, type Line, linesView } from './lines.ts'
import { type Heading, type Picture, picture } from './picture.ts'
import { spreadOf } from './spread.ts'

/** A method at several costs, each measured with one value a seed. */
export type CostCurve = {
  name: string
  /** What it has in common with curves of other names, such as the sampler that proposes. */
  variant?: string
  points: readonly { cost: readonly number[]; quality: readonly number[] }[]
}

/** A measure of quality with the curves that are compared in it. */
export type CostPanel = { quality: Axis; curves: readonly CostCurve[]; level?: { value: number; label: string } }

/** Quality against cost, this on a logarithmic axis: a view a row for each measure. */
export function qualityAgainstCost(heading: Heading, panels: readonly CostPanel[], cost: Axis): Picture {
  const height = panels.length === 1 ? 320 : 220
  const drawn = panels.map(({ curves }) =>
    curves.map(({ name, variant, points }): Line => {
      const spread = points.map((point) => ({ x: spreadOf(point.cost).mean, ...spreadOf(point.quality) }))
      return { name, variant, points: spread }
    }),
  )
  const views = panels.map(({ quality, level }, i) => {
    const x = { ...cost, ...(i < panels.length - 1 && { title: '' }) }
    return linesView(drawn[i], { x, y: quality, marks: 'bars', height, level, beside: drawn.flat() })
  })
  return picture(heading, views.length === 1 ? views[0] : { spacing: 24, vconcat: views })
}
