/** @file The tables of a comparison for people to read: a row a group of runs, mean ± standard deviation over its seeds. */
import { type ComparisonTable, differences, type OverSeeds } from '../tasks/compare.ts'
import { duration, plainTable } from './terminal.ts'

type Measured = Record<string, OverSeeds>
type Column = { name: string; head: string; show?: (value: number) => string }

const percent = (value: number) => (100 * value).toFixed(0)
const signed = (value: number) => `${value >= 0 ? '+' : '−'}${Math.abs(value).toFixed(2)}`

/** Each is a table of its own: all measures side by side are wider than a screen. */
const blocks: readonly { title: string; columns: readonly Column[] }[] = [
  {
    title: 'against the posterior',
    columns: [
      { name: 'kl', head: 'KL, nats' },
      { name: 'effectiveFraction', head: 'ESS, %', show: percent },
      { name: 'paretoK', head: 'Pareto k̂' },
      { name: 'ratioVariance', head: 'Var log R/q, nats²' },
      { name: 'lengthBias', head: 'length bias', show: signed },
      { name: 'firstTokenEntropyGap', head: 'entropy gap', show: signed },
    ],
  },
  {
    title: 'samples',
    columns: [
      { name: 'logReward', head: 'log R, nats' },
      { name: 'logBase', head: 'log p (base)' },
      { name: 'bestLogBase', head: 'best log p' },
      { name: 'logQ', head: 'own log q' },
      { name: 'distinctFraction', head: 'distinct, %', show: percent },
      { name: 'tokenDistance', head: 'edit distance, %', show: percent },
    ],
  },
]

/** One table for each subject. */
export function comparisonScreen(tables: readonly ComparisonTable[]): string {
  const [first, ...others] = tables.map(({ subject }) => subject)
  const apart = others.map((subject) => differences(first, subject).join(', '))
  const why = [...new Set(apart)].join('; ')
  return [
    ...(tables.length > 1 ? [`${tables.length} tables, which are not comparable: they differ in ${why}`] : []),
    ...tables.map(tableScreen),
  ].join('\n\n')
}

function tableScreen({ subject, groups, untrained, notes }: ComparisonTable): string {
  const { task, model, data } = subject
  const seeds = Math.max(...groups.map(({ runs }) => runs.length))
  const spread = seeds > 1 ? '; mean ± standard deviation over seeds' : ''
  const rows = [...untrained, ...groups]
  const figureNames = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))]
  const figures = figureNames.map((name) => ({ name, head: name, show: threeFigures }))
  const cost = [
    ['', 'seeds', 'steps', 'samples', 'training'],
    ...groups.map(({ label, runs, cost }) => [
      label,
      runs.map(({ record }) => record.training.seed).join(', '),
      cost.steps.mean.toFixed(0),
      Math.round(cost.samples.mean).toLocaleString('en'),
      duration(cost.seconds.mean),
    ]),
  ]
  return [
    `${task} with ${model}; data ${data}${spread}`,
    plainTable(cost, { colAligns: ['left', 'right', 'right', 'right', 'right'] }),
    ...blocks.flatMap(({ title, columns }) =>
      block(
        title,
        columns,
        rows.map(({ label, measures }) => ({ label, of: measures })),
      ),
    ),
    ...inBlocks(figures).flatMap((columns) =>
      block(
        'the task',
        columns,
        rows.map(({ label, figures }) => ({ label, of: figures })),
      ),
    ),
    'length bias, tokens, and entropy gap of the first token, nats: those of the sampler less those of the posterior, by weights',
    ...(notes.length > 0 ? [notes.map((note) => `note: ${note}`).join('\n')] : []),
  ].join('\n\n')
}

const FIGURES_IN_A_BLOCK = 6
const inBlocks = (columns: readonly Column[]): Column[][] =>
  Array.from({ length: Math.ceil(columns.length / FIGURES_IN_A_BLOCK) }, (_, i) =>
    columns.slice(i * FIGURES_IN_A_BLOCK, (i + 1) * FIGURES_IN_A_BLOCK),
  )

/** Rows and columns of which nothing is known are left out. */
function block(title: string, columns: readonly Column[], rows: readonly { label: string; of: Measured }[]): string[] {
  const shown = columns.filter(({ name }) => rows.some(({ of }) => name in of))
  const told = rows.filter(({ of }) => shown.some(({ name }) => name in of))
  if (shown.length === 0) return []
  const cells = told.map(({ label, of }) => [label, ...shown.map(({ name, show }) => cell(of[name], show))])
  return [
    plainTable([[title, ...shown.map(({ head }) => head)], ...cells], {
      colAligns: ['left', ...shown.map(() => 'right' as const)],
    }),
  ]
}

function cell(measured: OverSeeds | undefined, show: Column['show'] = (value) => value.toFixed(2)): string {
  if (!measured) return '-'
  const { mean, deviation } = measured
  return Number.isFinite(deviation) ? `${show(mean)} ± ${show(deviation).replace('+', '')}` : show(mean)
}

const threeFigures = (value: number) =>
  Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)))
