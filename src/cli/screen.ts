/** @file The one screen at the end of a run: figures of both samplers, and samples of each side by side. */
import type { Estimate } from '../evaluation/estimate.ts'
import { TRUSTED_PARETO_K } from '../evaluation/pareto-smoothing.ts'
import type { LanguageModel } from '../models/language-model.ts'
import { type PromptReport, type Report, samplerNames } from '../tasks/report.ts'
import type { OpenRun } from '../tasks/task-run.ts'
import type { TrainingConfig } from '../trainers/config.ts'
import { supportOf } from '../trainers/prompts.ts'
import { oneLine, plainTable } from './terminal.ts'

const COLUMNS = 100
const SHOWN_SAMPLES = 6
const titles = { base: 'base model', tuned: 'fine-tuned' }

/** @param onWhat which prompts these are, for the heading */
export function resultScreen(run: OpenRun, report: Report, onWhat: string): string {
  const heading = `${run.task.name} with ${run.model.name}; ${onWhat}: ${report.prompts.length}; samples of each sampler: ${report.samples}`
  return [heading, figures(report), shownPrompt(run, medianPrompt(report))].join('\n\n')
}

function figures({ summary, prompts }: Report): string {
  // The spread over prompts says nothing of a single one; its own samples do.
  const kl = (name: keyof typeof titles) => (prompts.length > 1 ? summary[name].kl : prompts[0].samplers[name].kl)
  const rows: [string, (name: keyof typeof titles) => string][] = [
    ['mean log R, nats', (name) => withError(summary[name].logReward)],
    [
      'log-likelihood under itself / base model',
      (name) => [summary[name].logQ, summary[name].logBase].map(({ value }) => decimals(value)).join(' / '),
    ],
    ['KL(q ‖ posterior), nats', (name) => withError(kl(name))],
    ['effective sample size, of the samples', (name) => percentage(summary[name].effectiveFraction)],
    [`Pareto k̂ (to be trusted below ${TRUSTED_PARETO_K})`, (name) => decimals(summary[name].paretoK.value)],
    ['distinct samples', (name) => percentage(summary[name].distinctFraction)],
  ]
  const heads = ['', ...samplerNames.map((name) => titles[name])]
  return plainTable([heads, ...rows.map(([label, show]) => [label, ...samplerNames.map(show)])], {
    colAligns: ['left', 'right', 'right'],
    colWidths: [42, 20, 20],
  })
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
const withError = ({ value, standardError }: Estimate) =>
  Number.isFinite(standardError) ? `${decimals(value)} ± ${decimals(standardError)}` : decimals(value)
const percentage = ({ value }: Estimate) => `${(value * 100).toFixed(0)} %`
