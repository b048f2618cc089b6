/**
 * @file What a picture is: a Vega-Lite specification, which is plain data, and the look that all of ours share. A picture is a
 * pure function of its numbers; `render.ts` makes SVG and PNG of it.
 */

/** A Vega-Lite specification; any of its tools can read one as JSON. */
export type Picture = Readonly<Record<string, unknown>>

/** The fonts that `render.ts` draws with, then those that another viewer of an SVG is likely to have. */
const FONT = 'Inter, Helvetica, Arial, sans-serif'
export const INK = '#1f2933'
const QUIET = '#5f6c7b'
const GRID = '#e4e7eb'

/**
 * Okabe and Ito's colours, which those who see colours otherwise can tell apart; the yellow, faint on white, is left out. Three
 * more are for pictures with many names.
 */
export const COLOURS = [
  ...['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00', INK],
  ...['#7b5ea7', '#8a8f98', '#8c5a3c'],
]

const config = {
  background: '#ffffff',
  padding: 18,
  font: FONT,
  view: { stroke: null },
  title: {
    anchor: 'start',
    frame: 'group',
    fontSize: 16,
    fontWeight: 600,
    color: INK,
    subtitleFontSize: 12,
    subtitleColor: QUIET,
    subtitlePadding: 5,
    offset: 14,
  },
  axis: {
    labelFontSize: 12,
    labelColor: QUIET,
    titleFontSize: 13,
    titleFontWeight: 400,
    titleColor: INK,
    titlePadding: 10,
    gridColor: GRID,
    domainColor: '#9aa5b1',
    tickColor: '#9aa5b1',
    labelPadding: 5,
    labelFlush: false,
  },
  axisY: { domain: false, ticks: false },
  axisX: { grid: false },
  legend: { labelFontSize: 12, labelColor: INK, labelLimit: 0, symbolSize: 90, title: null, rowPadding: 5, offset: 16 },
  header: {
    title: null,
    labelFontSize: 13,
    labelFontWeight: 600,
    labelColor: INK,
    labelAnchor: 'start',
    labelPadding: 6,
  },
  range: { category: COLOURS },
}

export type Heading = {
  title: string
  /** What the marks show: how many seeds, what the bands are. */
  subtitle?: string
}

/** A whole picture: a view with a heading and the common look. */
export const picture = ({ title, subtitle }: Heading, view: Picture): Picture => ({
  $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
  title: { text: title, ...(subtitle !== undefined && { subtitle }) },
  config,
  ...view,
})

/**
 * Each name with its colour, in their order: the same method has the same colour in all layers. One name needs no legend.
 * @param mark  what stands beside the names: a stroke for lines
 */
export const colourOf = (names: readonly string[], mark: 'square' | 'stroke' = 'square') => ({
  field: 'name',
  type: 'nominal',
  scale: { domain: names, range: names.map((_, i) => COLOURS[i % COLOURS.length]) },
  sort: null,
  legend:
    names.length < 2 ? null : { symbolType: mark, symbolOpacity: 1, symbolStrokeWidth: mark === 'stroke' ? 4 : 0 },
})
