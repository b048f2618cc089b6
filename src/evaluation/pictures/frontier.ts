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

/** One way to say how likely samples are: their mean, or the best of them. */
export type FrontierPanel = { logLikelihood: Axis; curves: readonly FrontierCurve[] }

/** Panels stand side by side. */
export function frontier(
  heading: Heading,
  panels: readonly FrontierPanel[],
  diversity: Axis = { title: 'diversity: mean pairwise cosine distance' },
): Picture {
  const width = panels.length === 1 ? 560 : 380
  const views = panels.map(({ logLikelihood, curves }) => {
    const lines = curves.map(({ name, settings }) => ({
      name,
      points: settings.map((setting) => {
        const { mean: x, low: xLow, high: xHigh } = spreadOf(setting.logLikelihood)
        return { x, xLow, xHigh, ...spreadOf(setting.diversity) }
      }),
    }))
    return linesView(lines, { x: logLikelihood, y: diversity, marks: 'bars', width, height: 360 })
  })
  return picture(heading, views.length === 1 ? views[0] : { spacing: 28, hconcat: views })
}
