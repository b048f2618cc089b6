import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { renderSvg } from '../evaluation/pictures/render.ts'
import { parseTrainingConfig, type TrainingOptions } from '../trainers/config.ts'
import { runRecordSchema } from '../trainers/run-record.ts'
import { compareRuns, differences, readRuns } from './compare.ts'
import { comparisonPictures } from './compare-pictures.ts'

const home = mkdtempSync(join(tmpdir(), 'compare-'))
afterAll(() => rmSync(home, { recursive: true }))

type Written = {
  training?: TrainingOptions
  model?: string
  data?: string
  /** KL of the trained sampler; null: the run was not evaluated. */
  kl?: number | null
  figures?: Record<string, number>
  baselines?: object
}

let count = 0
/** A run folder as training and evaluation leave it, of two steps. */
function written({ training = {}, model = 'a', data = 'b', kl = 1, figures, baselines }: Written): string {
  const folder = join(home, String(++count))
  mkdirSync(folder)
  const hash = (text: string) => text.repeat(64)
  const record = runRecordSchema.parse({
    ...{ command: '', task: 'infilling', columns: {}, threads: 1 },
    model: { folder: `/models/${model}`, sha256: hash(model) },
    data: { file: `/data/${data}.csv`, sha256: hash(data) },
    testData: { file: '/data/test.csv', sha256: hash('c') },
    training: parseTrainingConfig(training, 'test'),
    versions: { flowtune: '1', node: '20' },
  })
  writeFileSync(join(folder, 'config.json'), JSON.stringify(record))
  const seed = record.training.seed
  const events = [1, 2].map((step) => ({
    kind: 'step',
    step,
    metrics: {
      ...{ 'reward/logMean': -40 + step + seed, 'samples/length': 9, 'policy/firstTokenEntropy': 1 },
      ...{ 'samples/distinctFraction': 1, 'samples/count': 32, 'time/stepSeconds': 0.5 },
    },
  }))
  writeFileSync(join(folder, 'events.jsonl'), events.map((event) => `${JSON.stringify(event)}\n`).join(''))
  const estimate = (value: number | null) => ({ value, standardError: 0.1 })
  const summary = {
    base: { kl: estimate(7), paretoK: estimate(null) },
    tuned: { kl: estimate(kl), logReward: estimate(-30) },
  }
  const outcome = figures && { figures: { tuned: figures, prompted: { bleu: 0.1 } } }
  const prompts = [{ posterior: { meanLogReward: -29 } }]
  if (kl !== null)
    writeFileSync(join(folder, 'evaluation.json'), JSON.stringify({ summary, outcome, prompts, baselines }))
  return folder
}

const tables = (...all: Written[]) => compareRuns(readRuns(all.map(written)))
const rounded = (value: number) => Number(value.toFixed(6))

test('runs that differ in the seed alone are one group: mean and deviation over its seeds', () => {
  const [{ groups, untrained, notes }] = tables(...[1, 2, 4].map((kl, seed) => ({ training: { seed }, kl })))
  expect(groups).toHaveLength(1)
  const [{ label, measures, cost, runs }] = groups
  expect(label).toBe('subtrajectory balance')
  expect(runs.map(({ record }) => record.training.seed)).toEqual([0, 1, 2])
  expect(rounded(measures.kl.mean)).toBe(rounded(7 / 3))
  expect(rounded(measures.kl.deviation)).toBe(rounded(Math.sqrt((16 / 9 + 1 / 9 + 25 / 9) / 2)))
  expect(cost).toMatchObject({ steps: { mean: 2 }, samples: { mean: 64 }, seconds: { mean: 1 } })
  expect(untrained).toEqual([
    { label: 'base model', measures: { kl: { mean: 7, deviation: 0, seeds: 3 } }, figures: {} },
  ])
  expect(notes).toEqual([])
})

test('groups go by what they do otherwise, and by nothing that their method does not use', () => {
  const [{ groups }] = tables(
    { training: { objective: { name: 'trajectory-balance' } } },
    { training: { lora: { rank: 8 } } },
    { training: { rewardTemperature: 0.9, checkpoints: { every: 7 } } },
  )
  expect(groups.map(({ label }) => label)).toEqual([
    expect.stringContaining('trajectory balance, '),
    expect.stringContaining('lora.rank = 8'),
    expect.stringContaining('T = 0.9'),
  ])
  expect(groups[0].label).not.toContain('checkpoints')
  expect(groups[1].label).not.toContain('trajectory balance, lora') // the usual objective is named, the other's not
})

test('groups of different methods go by their methods, without the options that only one of them has', () => {
  const [{ groups }] = tables({ training: { method: 'ppo' } }, {}, { training: { ppo: { clip: 0.1 }, method: 'ppo' } })
  expect(groups.map(({ label }) => label)).toEqual(['ppo, ppo.clip = 0.2', 'gflownet', 'ppo, ppo.clip = 0.1'])
})

test('densities that differ are told, each with the base model held against it', () => {
  const [{ untrained, notes }] = tables(...[0.9, 0.8].map((rewardTemperature) => ({ training: { rewardTemperature } })))
  expect(untrained.map(({ label }) => label)).toEqual(['base model, T = 0.9', 'base model, T = 0.8'])
  expect(notes.join()).toContain('different densities')
})

test('runs of other models or data have tables of their own, with what sets them apart', () => {
  const found = tables({}, { model: 'd' }, { data: 'e', training: { seed: 1 } }, { training: { seed: 1 } })
  expect(found.map(({ groups }) => groups[0].runs.length)).toEqual([2, 1, 1])
  const [first, second, third] = found.map(({ subject }) => subject)
  expect(differences(first, second)).toEqual(['model'])
  expect(differences(first, third)).toEqual(['data'])
})

test('figures of the task are averaged too, and those of what it compares with', () => {
  const [{ groups, untrained }] = tables(
    { figures: { bleu: 0.2 } },
    { figures: { bleu: 0.4, gleu: 1 }, training: { seed: 1 } },
  )
  expect(groups[0].figures.bleu.mean).toBeCloseTo(0.3, 10)
  expect(groups[0].figures.gleu).toMatchObject({ mean: 1, seeds: 1 })
  expect(untrained.map(({ label, figures }) => [label, figures.bleu?.mean])).toEqual([
    ['base model', undefined],
    ['prompted', 0.1],
  ])
})

test('a run that was not evaluated is told of, and one that is there twice is refused', () => {
  const [{ notes, groups }] = tables({ kl: null }, { training: { seed: 1 } })
  expect(notes.join()).toMatch(/^not evaluated: .*\/\d+ \(flowtune evaluate RUN\)$/)
  expect(groups[0].measures.kl).toMatchObject({ mean: 1, seeds: 1 })
  expect(() => tables({}, {})).toThrow(/these runs are the same, of seed 0: .*; name one of them/)
})

test('the same folder counts once', () => {
  const folder = written({})
  expect(readRuns([folder, folder])).toHaveLength(1)
})

test('pictures show every group, and baselines where there are some', async () => {
  const estimate = (value: number) => ({ value, standardError: 0.1 })
  const methods = [undefined, 100, 1000].map((budget, i) => ({
    ...{ method: budget ? 'importance-resampling' : 'ancestral', sampler: 'base', budget, answered: 1, size: 1 },
    measures: {
      ...{ meanLogReward: estimate(-40 + i), kl: estimate(4 - i), forwardTokens: estimate(50 * 4 ** i) },
      ...{ distinctFraction: estimate(1), meanLogBase: estimate(-20), bestLogBase: estimate(-9), seconds: estimate(1) },
    },
  }))
  const tuned = { ...methods[0], sampler: 'tuned' }
  const baselines = { perQuery: 8, budgets: [100, 1000], queries: 1, methods: [...methods, tuned] }
  const [table] = tables(
    { baselines },
    { baselines, training: { seed: 1 } },
    { training: { objective: { name: 'trajectory-balance' } } },
  )
  const pictures = comparisonPictures(table)
  expect(Object.keys(pictures)).toEqual([
    'training-curves',
    'reward-against-seconds',
    'kl-against-seconds',
    'quality-against-compute',
    'frontier',
  ])
  for (const [name, picture] of Object.entries(pictures)) {
    const svg = await renderSvg(picture)
    expect(/NaN|undefined/.exec(svg), name).toBeNull()
    const texts = name.includes('compute')
      ? ['importance resampling']
      : name === 'frontier'
        ? ['base model']
        : ['trajectory balance']
    for (const text of texts) expect(svg, name).toContain(`>${text}</text>`)
  }
})

test('a file that is no evaluation is refused by name', () => {
  const folder = written({ kl: null })
  writeFileSync(join(folder, 'evaluation.json'), '{}')
  expect(() => readRuns([folder])).toThrow(/evaluation.json: summary: /)
})
