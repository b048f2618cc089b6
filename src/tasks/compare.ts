/**
 * @file Runs side by side. Those that differ in nothing but the seed are one group; groups that learned the same task with the
 * same model from the same data share a table, in which each goes by what it does otherwise. Others are not compared with
 * each other.
 */

import { basename } from 'node:path'
import { UserError } from '../errors.ts'
import { FEW_DISTINCT } from '../evaluation/diversity.ts'
import { sampleVariance } from '../evaluation/estimate.ts'
import { sum } from '../sums.ts'
import { methodNames } from '../trainers/methods/names.ts'
import { readRecord } from '../trainers/run-folder.ts'
import { readStepMetrics } from '../trainers/run-metrics.ts'
import type { RunRecord } from '../trainers/run-record.ts'
import { type Report, readReport } from './report.ts'
import { targetTemperature } from './weighted-draw.ts'

export type ComparedRun = {
  folder: string
  record: RunRecord
  steps: ReturnType<typeof readStepMetrics>
  /** Absent where the run was not evaluated. */
  report?: Report
}

/** A mean over seeds; the deviation is that of one seed, NaN for a single one. */
export type OverSeeds = { mean: number; deviation: number; seeds: number }

/** Runs that differ in the seed alone. */
export type Group = {
  label: string
  runs: ComparedRun[]
  /** The density that they sample from, as far as the groups of the table differ in it. */
  target: string
  /** Of the trained sampler, by the names of the evaluation's summary. */
  measures: Record<string, OverSeeds>
  /** What the task itself reports of it. */
  figures: Record<string, OverSeeds>
  cost: Record<'steps' | 'samples' | 'seconds', OverSeeds>
}

/** What is not trained, over all runs that sample from the same density: the base model, and what else a task compares with. */
export type Untrained = { label: string; measures: Record<string, OverSeeds>; figures: Record<string, OverSeeds> }

export type ComparisonTable = {
  /** What all its runs have in common. */
  subject: Subject
  groups: Group[]
  untrained: Untrained[]
  /** What a reader must know. */
  notes: string[]
}

/** Runs are compared where these are equal. */
export type Subject = { task: string; model: string; data: string; 'test data': string; columns: string; chat: string }

export const readRuns = (folders: readonly string[]): ComparedRun[] =>
  [...new Set(folders)].map((folder) => {
    const report = readReport(folder)
    return { folder, record: readRecord(folder), steps: readStepMetrics(folder), ...(report && { report }) }
  })

/** @throws UserError for two runs of the same config and seed */
export function compareRuns(runs: readonly ComparedRun[]): ComparisonTable[] {
  const bySubject = groupBy(runs, ({ record }) => JSON.stringify(subjectOf(record)))
  return [...bySubject.values()].map((own) => tableOf(own))
}

/** The names of what two tables are not compared for. */
export const differences = (a: Subject, b: Subject): string[] =>
  (Object.keys(a) as (keyof Subject)[]).filter((name) => a[name] !== b[name])

function tableOf(runs: readonly ComparedRun[]): ComparisonTable {
  const settings = new Map(runs.map((run) => [run, settingsOf(run.record)]))
  const byConfig = [...groupBy(runs, (run) => JSON.stringify(settings.get(run))).values()]
  for (const own of byConfig) refuseSameSeed(own)
  const labels = labelsOf(byConfig.map(([run]) => settings.get(run)!))
  const targets = labelsOf(byConfig.map(([run]) => targetSettings(settings.get(run)!)))
  const groups = byConfig.map((own, g): Group => {
    const evaluated = own.flatMap(({ report }) => report ?? [])
    return {
      label: labels[g] || usualLabel(own[0].record),
      runs: own,
      target: targets[g],
      measures: overSeeds(evaluated.map(({ summary }) => valuesOf(summary.tuned))),
      figures: overSeeds(evaluated.map(({ outcome }) => outcome?.figures.tuned ?? {})),
      cost: overSeeds(own.map(costOf)) as Group['cost'],
    }
  })
  return {
    subject: subjectOf(runs[0].record),
    groups,
    untrained: untrainedOf(groups),
    notes: notesOf(groups),
  }
}

const subjectOf = ({ task, taskFile, model, data, testData, columns, chat }: RunRecord): Subject => ({
  task: taskFile ? `${basename(task)} (${short(taskFile.sha256)})` : task,
  model: `${basename(model.folder).replace(/\.gguf$/i, '')} (${short(model.sha256)})`,
  data: data ? `${basename(data.file)} (${short(data.sha256)})` : "the task's own",
  'test data': testData ? `${basename(testData.file)} (${short(testData.sha256)})` : 'a part of the data',
  columns: JSON.stringify(columns),
  chat: chat === null ? 'plain text' : 'in a chat template',
})

const short = (sha256: string) => sha256.slice(0, 8)

type Settings = Record<string, unknown>

/** What a run was told besides its seed, flat: `{ 'lora.rank': 16 }`. Options of methods that it does not use do not count. */
function settingsOf({ training, adapter, holding }: RunRecord): Settings {
  const { seed: _, checkpoints: _checkpoints, ...others } = training
  const foreign = [...methodNames, 'objective'].filter(
    (name) => name !== training.method && !(name === 'objective' && training.method === 'gflownet'),
  )
  const own = Object.entries(others).filter(([name]) => !(foreign as string[]).includes(name))
  return { ...flat(Object.fromEntries(own)), adapter: adapter?.sha256 ?? null, weights: holding.storage }
}

const flat = (value: unknown, path = ''): Settings =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.assign({}, ...Object.entries(value).map(([name, inner]) => flat(inner, path ? `${path}.${name}` : name)))
    : { [path]: value }

/** The settings that decide which density is sampled from. */
const targetSettings = (settings: Settings): Settings => ({
  ...Object.fromEntries(Object.entries(settings).filter(([name]) => name.startsWith('latent.'))),
  rewardTemperature: settings['rewardTemperature.to'] ?? settings.rewardTemperature,
})

/** Each by the settings in which they differ, of a method's own those in which runs of it do; the same for those that are alike. */
function labelsOf(all: readonly Settings[]): string[] {
  const names = new Set(['method', 'objective.name', ...all.flatMap((settings) => Object.keys(settings))])
  const differ = (some: readonly Settings[], name: string) =>
    new Set(some.map((settings) => JSON.stringify(settings[name]))).size > 1
  const byMethod = [...groupBy(all, ({ method }) => String(method)).values()]
  const varying = [...names].filter(
    (name) =>
      byMethod.some((some) => differ(some, name)) || (all.every((settings) => name in settings) && differ(all, name)),
  )
  return all.map((settings) =>
    varying
      .filter((name) => name in settings)
      .map((name) => settingLabel(name, settings[name]))
      .join(', '),
  )
}

function settingLabel(name: string, value: unknown): string {
  if (name === 'method' || name === 'objective.name') return String(value).replaceAll('-', ' ')
  if (name === 'rewardTemperature' || name === 'rewardTemperature.to') return `T = ${value}`
  if (name === 'adapter') return value === null ? 'a fresh adapter' : `from adapter ${short(String(value))}`
  return `${name} = ${typeof value === 'string' ? value : JSON.stringify(value)}`
}

const usualLabel = ({ training: { method, objective } }: RunRecord) =>
  (method === 'gflownet' ? objective.name : method).replaceAll('-', ' ')

function refuseSameSeed(runs: readonly ComparedRun[]): void {
  const bySeed = groupBy(runs, ({ record }) => String(record.training.seed))
  for (const [seed, same] of bySeed)
    if (same.length > 1)
      throw new UserError({
        what: `these runs are the same, of seed ${seed}: ${same.map(({ folder }) => folder).join(', ')}`,
        fix: 'name one of them',
      })
}

const valuesOf = (summary: Record<string, { value: number | null }>) =>
  Object.fromEntries(Object.entries(summary).map(([name, { value }]) => [name, value]))

const costOf = ({ steps }: ComparedRun) => ({
  steps: steps.length,
  samples: sum(steps.map(({ metrics }) => metrics['samples/count'])),
  seconds: sum(steps.map(({ metrics }) => metrics['time/stepSeconds'])),
})

/** Means of what at least one run tells. JSON's null was no number: it is left out. */
function overSeeds(all: readonly Record<string, number | null>[]): Record<string, OverSeeds> {
  const names = [...new Set(all.flatMap((values) => Object.keys(values)))]
  const told = names.flatMap((name) => {
    const values = all.map((one) => one[name]).filter((value) => typeof value === 'number' && Number.isFinite(value))
    if (values.length === 0) return []
    const numbers = values as number[]
    const mean = sum(numbers) / numbers.length
    return [[name, { mean, deviation: Math.sqrt(sampleVariance(numbers)), seeds: numbers.length }]]
  })
  return Object.fromEntries(told)
}

/** The base model for each target, then the other methods of the tasks' outcomes. */
function untrainedOf(groups: readonly Group[]): Untrained[] {
  return [...groupBy(groups, ({ target }) => target)].flatMap(([target, own]) => {
    const reports = own.flatMap(({ runs }) => runs.flatMap(({ report }) => report ?? []))
    const others = [...new Set(reports.flatMap(({ outcome }) => Object.keys(outcome?.figures ?? {})))].filter(
      (name) => name !== 'tuned' && name !== 'base',
    )
    const label = (name: string) => (target === '' ? name : `${name}, ${target}`)
    const figures = (name: string) => overSeeds(reports.map(({ outcome }) => outcome?.figures[name] ?? {}))
    const base = {
      label: label('base model'),
      measures: overSeeds(reports.map(({ summary }) => valuesOf(summary.base))),
      figures: figures('base'),
    }
    return [base, ...others.map((name) => ({ label: label(name), measures: {}, figures: figures(name) }))]
  })
}

function notesOf(groups: readonly Group[]): string[] {
  const runs = groups.flatMap((group) => group.runs)
  const without = runs.filter(({ report }) => !report).map(({ folder }) => folder)
  const seeds = new Set(runs.map(({ record }) => record.training.seed))
  const isSplit = runs[0].record.testData === null && seeds.size > 1
  const versions = [...new Set(runs.map(({ record }) => record.versions.flowtune))]
  const steps = new Set(groups.map(({ cost }) => cost.samples.mean))
  const alike = groups.filter(({ measures }) => measures.distinctFraction?.mean < FEW_DISTINCT)
  return [
    ...alike.map(
      ({ label }) => `${label}: its samples are nearly all alike; its KL and ESS do not count what it never draws`,
    ),
    ...(without.length > 0 ? [`not evaluated: ${without.join(', ')} (flowtune evaluate RUN)`] : []),
    ...(new Set(groups.map(({ target }) => target)).size > 1
      ? ['the groups sample from different densities: log R, KL and what follows from them are held against their own']
      : []),
    ...(isSplit ? ['without test data every seed holds out another part of the data'] : []),
    ...(steps.size > 1 ? ['the groups did not learn from equally many samples'] : []),
    ...(versions.length > 1 ? [`the runs were made by different versions: ${versions.join(', ')}`] : []),
  ]
}

/** T of a group's target. */
export const temperatureOf = ({ runs: [{ record }] }: Group): number => targetTemperature(record.training)

function groupBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item])
  return groups
}
