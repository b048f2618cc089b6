/** @file Curves with their spread over seeds: the view that training curves, frontiers and costs have in common. */
import { colourOf, INK, type Picture } from './picture.ts'

export type Axis = {
  /** With its unit: "log Z, nats". */
  title: string
  isLogarithmic?: boolean
  /** d3's, such as '~%'. */
  format?: string
}

/** A point with what it may be off by; `xLow` and `xHigh` where x is measured too. */
export type SpreadPoint = { x: number; mean: number; low: number; high: number; xLow?: number; xHigh?: number }

/** `variant` is drawn as the kind of the line: lines of one name and other variants share a colour. */
export type Line = { name: string; variant?: string; points: readonly SpreadPoint[] }

/**
 * A view of lines through points, in the order in which these are given.
 * @param marks  'band' for many points (steps), 'bars' for few, which are then marked one by one
 */
export function linesView(
  lines: readonly Line[],
  {
    x,
    y,
    marks,
    width = 520,
    height = 320,
    level,
    beside = lines,
  }: {
    x: Axis
    y: Axis
    marks: 'band' | 'bars'
    width?: number
    height?: number
    /** A height to compare with. */
    level?: { value: number; label: string }
    /** The lines of all views that share a legend with this one. */
    beside?: readonly Line[]
  },
): Picture {
  const values = lines.flatMap(({ name, variant = '', points }) =>
    points.map((point, order) => ({ name, variant, order, ...point })),
  )
  const kinds = kindsOf([...new Set(beside.map(({ variant = '' }) => variant))])
  const along = (
    field: string,
    { title, isLogarithmic = false, format = isLogarithmic ? '~g' : undefined }: Axis,
    fit: object = { nice: true, padding: 8 },
  ) => ({
    field,
    type: 'quantitative',
    title,
    scale: isLogarithmic ? { type: 'log', nice: false, padding: 16 } : { zero: false, ...fit },
    axis: { tickCount: 5, ...(format && { format }) },
  })
  const fitX = marks === 'band' ? { nice: false } : { nice: true, padding: 8 } // steps begin and end at the edges
  const hasSpread = values.some(({ low, high }) => high > low)
  const color = colourOf([...new Set(beside.map(({ name }) => name))], 'stroke')
  const encoding = { x: along('x', x, fitX), y: along('mean', y), color }
  const hasSpreadOfX = values.some(({ xLow, xHigh }) => xLow !== undefined && xHigh !== undefined && xHigh > xLow)
  const interval = { y: along('low', y), y2: { field: 'high' } }
  const rule = { type: 'rule', strokeWidth: 1.5, opacity: 0.55 }
  return {
    width,
    height,
    data: { values },
    layer: [
      ...(hasSpread && marks === 'band'
        ? [{ mark: { type: 'area', opacity: 0.16 }, encoding: { ...encoding, ...interval } }]
        : []),
      ...(hasSpread && marks === 'bars' ? [{ mark: rule, encoding: { ...encoding, ...interval } }] : []),
      ...(hasSpreadOfX ? [{ mark: rule, encoding: { ...encoding, x: along('xLow', x), x2: { field: 'xHigh' } } }] : []),
      {
        mark: { type: 'line', strokeWidth: 2, strokeJoin: 'round', ...(marks === 'bars' && { point: { size: 55 } }) },
        encoding: { ...encoding, ...kinds, order: { field: 'order', type: 'quantitative' } },
      },
      ...(level ? levelMarks(level, y) : []),
    ],
  }
}

const DASHES = [
  [1, 0],
  [5, 4],
  [1, 3],
]
const SHAPES = ['circle', 'diamond', 'square']

/** Lines of several variants differ in their dashes and in the marks of their points; one variant needs no legend. */
function kindsOf(variants: readonly string[]) {
  if (variants.length < 2) return {}
  const scaleOf = (range: readonly unknown[]) => ({ domain: variants, range: variants.map((_, i) => range[i]) })
  const field = { field: 'variant', type: 'nominal', sort: null }
  const legend = { symbolStrokeColor: INK, symbolFillColor: INK, symbolStrokeWidth: 1.5, symbolSize: 70 }
  return {
    strokeDash: { ...field, scale: scaleOf(DASHES), legend },
    shape: { ...field, scale: scaleOf(SHAPES), legend },
  }
}

const levelMarks = ({ value, label }: { value: number; label: string }, y: Axis) => {
  const data = { values: [{}] } // once, and not for every point
  const at = { y: { datum: value, type: 'quantitative', title: y.title } }
  return [
    { data, mark: { type: 'rule', color: INK, strokeDash: [5, 4], strokeWidth: 1.2 }, encoding: at },
    {
      data,
      mark: { type: 'text', align: 'left', baseline: 'bottom', dx: 4, dy: -3, fontSize: 12, color: INK, text: label },
      encoding: { ...at, x: { value: 0 } },
    },
  ]
}
