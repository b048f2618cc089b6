/**
 * @file The frontier of the paper's Figure 3: how diverse samples are against how likely, one curve a method through its
 * settings (temperatures, beams). Up and to the right is better.
 */
import { type Axis, linesView } from './lines.ts'
import { type Heading, type Picture, picture } from './picture.ts'
import { spreadOf } from './spread.ts'

/** A method's settings in their order, each measured with several seeds. */
export type FrontierCurve = {
  name: string
  /** [settings], each [seeds]. */
  settings: readonly { logLikelihood: readonly number[]; diversity: readonly number[] }[]
}

export function frontier(
  heading: Heading,
  curves: readonly FrontierCurve[],
  {
    logLikelihood = { title: 'mean log-likelihood under the base model, nats' },
    diversity = { title: 'diversity: mean pairwise cosine distance' },
  }: { logLikelihood?: Axis; diversity?: Axis } = {},
): Picture {
  const lines = curves.map(({ name, settings }) => ({
    name,
    points: settings.map((setting) => {
      const { mean: x, low: xLow, high: xHigh } = spreadOf(setting.logLikelihood)
      return { x, xLow, xHigh, ...spreadOf(setting.diversity) }
    }),
  }))
  return picture(heading, linesView(lines, { x: logLikelihood, y: diversity, marks: 'bars', width: 560, height: 360 }))
}
