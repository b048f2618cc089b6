/** @file The one screen at the end of a run: figures of both samplers, and samples of each side by side. */
import { FEW_DISTINCT } from '../evaluation/diversity.ts'
import type { Estimate } from '../evaluation/estimate.ts'
import { TRUSTED_PARETO_K } from '../evaluation/pareto-smoothing.ts'
import type { LanguageModel } from '../models/language-model.ts'
import { type MeasureName, usualMeasures } from '../tasks/measures.ts'
import { type PromptReport, type Report, samplerNames } from '../tasks/report.ts'
import type { Outcome } from '../tasks/task.ts'
import type { OpenRun } from '../tasks/task-run.ts'
import type { TrainingConfig } from '../trainers/config.ts'
import { supportOf } from '../trainers/prompts.ts'
import { oneLine, plainTable } from './terminal.ts'

const COLUMNS = 100
const SHOWN_SAMPLES = 6
const BLIND =
  'The fine-tuned samples are nearly all alike: KL and effective sample size do not count what is never drawn.'
const titles = { base: 'base model', tuned: 'fine-tuned' }

/** @param onWhat which prompts these are, for the heading */
export function resultScreen(run: OpenRun, report: Report, onWhat: string): string {
  const heading = `${run.task.name} with ${run.model.name}; ${onWhat}: ${report.prompts.length}; samples of each sampler: ${report.samples}`
  return [
    heading,
    figures(report, run.task.measures ?? usualMeasures),
    ...(report.summary.tuned.distinctFraction.value < FEW_DISTINCT ? [BLIND] : []),
    ...(report.outcome ? outcomeOf(report.outcome) : []),
    shownPrompt(run, medianPrompt(report)),
  ].join('\n\n')
}

/** What the task itself reports: a row for each method. */
function outcomeOf({ figures, notes = [] }: Outcome): string[] {
  const measures = [...new Set(Object.values(figures).flatMap((values) => Object.keys(values)))]
  const told = notes.length > 0 ? [notes.join('\n')] : []
  if (measures.length === 0) return told
  const cell = (value: number | undefined) => (value === undefined ? '' : shortNumber(value))
  const rows = Object.entries(figures).map(([method, values]) => [
    titleOf(method),
    ...measures.map((measure) => cell(values[measure])),
  ])
  const table = plainTable([['', ...measures], ...rows], {
    colAligns: ['left', ...measures.map(() => 'right' as const)],
  })
  return [table, ...told]
}

const titleOf = (method: string) => (Object.hasOwn(titles, method) ? titles[method as SamplerName] : method)

/** Three figures: 0.0123, 1.23, 123. */
export const shortNumber = (value: number) => {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? '-' : value > 0 ? '∞' : '−∞'
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)))
}

type SamplerName = keyof typeof titles
type Row = { label: string; show: (report: Report, name: SamplerName) => string }

/** How each measure is shown. */
const rows: Record<MeasureName, Row> = {
  logReward: { label: 'mean log R, nats', show: ({ summary }, name) => withError(summary[name].logReward) },
  likelihood: {
    label: 'log-likelihood under itself / base model',
    show: ({ summary }, name) => [summary[name].logQ, summary[name].logBase].map(plain).join(' / '),
  },
  bestLikelihood: {
    label: 'the best samples, likewise',
    show: ({ summary }, name) => [summary[name].bestLogQ, summary[name].bestLogBase].map(plain).join(' / '),
  },
  kl: {
    label: 'KL(q ‖ posterior), nats',
    // The spread over prompts says nothing of a single one; its own samples do.
    show: ({ summary, prompts }, name) =>
      withError(prompts.length > 1 ? summary[name].kl : prompts[0].samplers[name].kl),
  },
  effectiveFraction: {
    label: 'effective sample size, of the samples',
    show: ({ summary }, name) => percentage(summary[name].effectiveFraction),
  },
  paretoK: {
    label: `Pareto k̂ (to be trusted below ${TRUSTED_PARETO_K})`,
    show: ({ summary }, name) => plain(summary[name].paretoK),
  },
  ratioVariance: {
    label: 'variance of log R − log q, nats²',
    show: ({ summary }, name) => withError(summary[name].ratioVariance),
  },
  distinct: { label: 'distinct samples', show: ({ summary }, name) => percentage(summary[name].distinctFraction) },
  diversity: {
    label: 'distinct samples / mean edit distance',
    show: ({ summary }, name) =>
      [summary[name].distinctFraction, summary[name].tokenDistance].map(percentage).join(' / '),
  },
  lengthBias: {
    label: 'length against the posterior’s, tokens',
    show: ({ summary }, name) => withError(summary[name].lengthBias),
  },
  firstTokenEntropyGap: {
    label: 'first-token entropy against it, nats',
    show: ({ summary }, name) => withError(summary[name].firstTokenEntropyGap),
  },
}

function figures(report: Report, measures: readonly MeasureName[]): string {
  const heads = ['', ...samplerNames.map((name) => titles[name])]
  const shown = measures.map((measure) => [
    rows[measure].label,
    ...samplerNames.map((name) => rows[measure].show(report, name)),
  ])
  return plainTable([heads, ...shown], { colAligns: ['left', 'right', 'right'], colWidths: [42, 20, 20] })
}

function shownPrompt({ model, record }: OpenRun, { example, samplers }: PromptReport): string {
  const end = shownEnd(model, record.training)
  const labelWidth = 2 + Math.max(...Object.keys(example).map((name) => name.length))
  const texts = Object.entries(example).map(([name, text]) => `${name.padEnd(labelWidth)}${oneLine(text)}`)
  const shown = (name: keyof typeof titles, n: number) => oneLine(`${samplers[name].samples[n]?.text ?? ''}${end}`)
  const heads = samplerNames.map((name) => titles[name])
  const rows = Array.from({ length: SHOWN_SAMPLES }, (_, n) => samplerNames.map((name) => shown(name, n)))
  const table = plainTable([heads, ...rows], { colWidths: [COLUMNS / 2, COLUMNS / 2] })
  return [...texts.map((text) => (text.length > COLUMNS ? `${text.slice(0, COLUMNS - 1)}…` : text)), table].join('\n')
}

/** What the terminal token adds to a latent when it is shown: a full stop is part of the text, `<|endoftext|>` is not. */
export function shownEnd(model: LanguageModel, training: TrainingConfig): string {
  const { stop } = supportOf(training, model)
  return model.tokenizer.specialTokens.has(stop) ? '' : model.tokenizer.textOf(stop)
}

/** The prompt on which the trained sampler does neither well nor badly. */
function medianPrompt({ prompts }: Report): PromptReport {
  const ordered = [...prompts].sort((a, b) => a.samplers.tuned.kl.value - b.samplers.tuned.kl.value)
  return ordered[Math.floor(ordered.length / 2)]
}

const decimals = (value: number) => (Number.isFinite(value) ? value.toFixed(2) : '-')
const plain = ({ value }: Estimate) => decimals(value)
const withError = ({ value, standardError }: Estimate) =>
  Number.isFinite(standardError) ? `${decimals(value)} ± ${decimals(standardError)}` : decimals(value)
const percentage = ({ value }: Estimate) => `${(value * 100).toFixed(0)} %`
