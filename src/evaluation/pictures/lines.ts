/** @file Curves with their spread over seeds: the view that training curves, frontiers and costs have in common. */
import { colourOf, type Picture } from './picture.ts'

export type Axis = {
  /** With its unit: "log Z, nats". */
  title: string
  isLogarithmic?: boolean
}

/** A point with what it may be off by; `xLow` and `xHigh` where x is measured too. */
export type SpreadPoint = { x: number; mean: number; low: number; high: number; xLow?: number; xHigh?: number }

export type Line = { name: string; points: readonly SpreadPoint[] }

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
  }: { x: Axis; y: Axis; marks: 'band' | 'bars'; width?: number; height?: number },
): Picture {
  const values = lines.flatMap(({ name, points }) => points.map((point, order) => ({ name, order, ...point })))
  const color = colourOf(lines.map(({ name }) => name))
  const along = (field: string, { title, isLogarithmic = false }: Axis, fit: object = { nice: true, padding: 8 }) => ({
    field,
    type: 'quantitative',
    title,
    scale: isLogarithmic ? { type: 'log', nice: false, padding: 16 } : { zero: false, ...fit },
    axis: { tickCount: 5, ...(isLogarithmic && { format: '~g' }) },
  })
  const fitX = marks === 'band' ? { nice: false } : { nice: true, padding: 8 } // steps begin and end at the edges
  const encoding = { x: along('x', x, fitX), y: along('mean', y), color }
  const hasSpread = values.some(({ low, high }) => high > low)
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
        encoding: { ...encoding, order: { field: 'order', type: 'quantitative' } },
      },
    ],
  }
}
