/** @file Exact probabilities of numbers, one panel a sampler, beside the uniform distribution that they should have. */
import { COLOURS, type Heading, INK, type Picture, picture } from './picture.ts'

/** A sampler's probabilities of the numbers 0, 1, 2, …, by `outcomeDistribution`. */
export type NumberDistribution = { name: string; probabilities: ArrayLike<number> }

/** Each panel has its own scale of probabilities: a peak of one would flatten the others. */
export function numberHistogram(
  heading: Heading,
  distributions: readonly NumberDistribution[],
  { first = 0, xTitle = 'number' }: { first?: number; xTitle?: string } = {},
): Picture {
  const panels = distributions.map(({ name, probabilities }, k) => ({
    title: { text: name, fontSize: 13, offset: 8 },
    width: 620,
    height: 130,
    data: {
      values: Array.from(probabilities, (probability, i) => ({
        from: first + i - 0.4,
        to: first + i + 0.4,
        probability,
      })),
    },
    layer: [
      {
        mark: { type: 'bar', color: COLOURS[k % COLOURS.length], opacity: 0.9 },
        encoding: {
          x: {
            field: 'from',
            type: 'quantitative',
            title: k === distributions.length - 1 ? xTitle : null,
            scale: { domain: [first - 1, first + probabilities.length], nice: false },
          },
          x2: { field: 'to' },
          y: { field: 'probability', type: 'quantitative', title: 'probability', axis: { tickCount: 4, format: '~%' } },
          y2: { datum: 0 },
        },
      },
      {
        mark: { type: 'rule', color: INK, strokeDash: [5, 4], strokeWidth: 1.2 },
        encoding: { y: { datum: 1 / probabilities.length } },
      },
    ],
  }))
  return picture(heading, { spacing: 24, vconcat: panels })
}
