/** @file The reliability diagram: accuracy against confidence, and below it how many answers have that confidence. */
import type { Calibration } from '../calibration.ts'
import { colourOf, type Heading, INK, type Picture, picture } from './picture.ts'

export type NamedCalibration = { name: string; calibration: Calibration }

/** The expected calibration error of each method stands beside its name. A calibrated one lies on the diagonal. */
export function reliabilityDiagram(heading: Heading, methods: readonly NamedCalibration[]): Picture {
  const named = methods.map(({ name, calibration }) => ({
    name: `${name} (error ${calibration.expectedError.toFixed(3)})`,
    bins: calibration.bins,
  }))
  const values = named.flatMap(({ name, bins }, k) => {
    const total = bins.reduce((sum, { count }) => sum + count, 0)
    return bins
      .filter(({ count }) => count > 0)
      .map(({ from, to, count, meanConfidence, accuracy }) => {
        const width = (0.9 * (to - from)) / named.length // methods stand side by side within a bin
        const left = from + 0.05 * (to - from) + k * width
        return { name, meanConfidence, accuracy, left, right: left + width, share: count / total }
      })
  })
  const color = colourOf(named.map(({ name }) => name))
  const size = 340
  const from0to1 = { domain: [0, 1], nice: false }
  const confidence = { type: 'quantitative', scale: from0to1 }
  const accuracy = { type: 'quantitative', scale: from0to1, title: 'accuracy' }
  return picture(heading, {
    spacing: 18,
    vconcat: [
      {
        width: size,
        height: size,
        layer: [
          {
            data: { values: [{ x: 0, y: 0, x2: 1, y2: 1 }] },
            mark: { type: 'rule', color: INK, strokeDash: [5, 4], opacity: 0.7 },
            encoding: {
              x: { ...confidence, field: 'x', title: null },
              y: { ...accuracy, field: 'y' },
              x2: { field: 'x2' },
              y2: { field: 'y2' },
            },
          },
          {
            data: { values },
            mark: { type: 'line', strokeWidth: 2, point: { size: 60 } },
            encoding: {
              x: { ...confidence, field: 'meanConfidence', title: null },
              y: { ...accuracy, field: 'accuracy' },
              color,
            },
          },
        ],
      },
      {
        width: size,
        height: 100,
        data: { values },
        mark: { type: 'bar', opacity: 0.9 },
        encoding: {
          x: { ...confidence, field: 'left', title: 'confidence' },
          x2: { field: 'right' },
          y: {
            field: 'share',
            type: 'quantitative',
            title: 'share of answers',
            axis: { tickCount: 3, format: '~%' },
          },
          y2: { datum: 0 },
          color,
        },
      },
    ],
  })
}
