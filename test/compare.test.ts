/** Runs beside methods without training, and beside each other, on the command line. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Report } from '../src/tasks/report.ts'
import { flowtune } from './command-line.ts'

const home = mkdtempSync(join(tmpdir(), 'compare-'))
const path = (...names: string[]) => join(home, ...names)
afterAll(() => rmSync(home, { recursive: true }))

const data = path('stories.jsonl')
const held = path('held-out.jsonl')
const config = path('small.json')
const [first, second] = [path('first'), path('second')]
const reportOf = (run: string): Report => JSON.parse(readFileSync(join(run, 'evaluation.json'), 'utf8'))
const chosen = ['--baselines', 'greedy', 'importance-resampling', '--budget', '200,600', '--per-query', '2']

beforeAll(async () => {
  const rows = ['The sun was hot.', 'Tom had a dog.', 'Lily saw a cat.'].map((beginning) => ({
    ...{ beginning, ending: 'They were happy.', middle: 'She had a ball.' },
  }))
  writeFileSync(data, rows.map((row) => JSON.stringify(row)).join('\n'))
  writeFileSync(held, JSON.stringify({ ...rows[0], beginning: 'It was a big day.' }))
  const small = { promptsPerStep: 2, samplesPerPrompt: 6, latent: { maxTokens: 6 }, lora: { rank: 8 }, steps: 2 }
  writeFileSync(config, JSON.stringify(small))
  const train = ['train', '--data', data, '--test-data', held, '--config', config, '--threads', '1']
  for (const [seed, out] of [first, second].entries())
    expect((await flowtune([...train, '--seed', String(seed), '--out', out])).code).toBe(0)
  await flowtune([...train, '--seed', '0', '--objective', 'trajectory-balance', '--out', path('third')])
})

describe('methods without training', () => {
  test('are asked for the same prompts with equal compute, and shown with when training has paid', async () => {
    const { code, out, err } = await flowtune(['evaluate', first, ...chosen, '--threads', '1'])
    expect(code).toBe(0)
    expect(err).toMatch(/^baselines \d+\/\d+/m)
    expect(out).toContain('methods without training; 1 queries, each for 2 samples')
    for (const row of ['the posterior, by weights', 'base model', 'fine-tuned', 'greedy', 'within 600 tokens a query'])
      expect(out).toMatch(new RegExp(`^${row}`, 'm'))
    expect(out).toMatch(/^ {2}importance resampling, fine-tuned × \d/m)
    expect(out).toMatch(/training took \d+ s of one lane; .*It has paid\n {2}by mean log R: /)
    const { baselines, prompts } = reportOf(first)
    expect(baselines!.budgets).toEqual([200, 600])
    const own = baselines!.methods.filter(
      ({ method, sampler }) => method.startsWith('importance') && sampler === 'base',
    )
    for (const [b, { measures, answered }] of own.entries()) {
      expect(answered).toBe(1)
      expect(measures.forwardTokens!.value).toBeLessThanOrEqual(baselines!.budgets[b])
      expect(measures.logZGap!.value).toBeCloseTo(measures.kl!.value, 10)
    }
    expect(Number.isFinite(prompts[0].posterior.meanLogReward)).toBe(true)
    expect(readdirSync(first)).toEqual(expect.arrayContaining(['baselines.png', 'baselines.svg']))
  })

  test('are refused by name before a model is loaded, as is what asks for nothing', async () => {
    const complaint = async (...words: string[]) => {
      const { code, err } = await flowtune(['evaluate', first, ...words])
      expect(code).toBe(2)
      return err.trim()
    }
    expect(await complaint('--baselines', 'bean')).toBe('flowtune: there is no baseline "bean"; did you mean "beam"?')
    expect(await complaint('--budget', '5')).toContain('does not go with --budget; add it')
    expect(await complaint('--encoder', path())).toContain('no sentence encoder here')
  })
})

test('infilling is held against true sentences, beside the base model that is asked or resampled', () => {
  const { figures, notes } = reportOf(first).outcome!
  expect(Object.keys(figures)).toEqual(['base', 'base model, asked', 'base model, resampled', 'tuned'])
  for (const values of Object.values(figures)) {
    expect(Object.keys(values)).toEqual(['BLEU-4', 'GLEU-4', 'log R', 'distinct 2-grams', 'tokens'])
    expect(values['BLEU-4']).toBeGreaterThanOrEqual(0)
    expect(values['BLEU-4']).toBeLessThan(1)
  }
  expect(figures['base model, resampled'].tokens).toBeLessThanOrEqual(figures.tuned.tokens)
  expect(notes!.join('\n')).toContain('She had a ball.')
})

describe('runs', () => {
  test('of several seeds are one row of each table, and others another', async () => {
    const { code, out, err } = await flowtune(['compare', first, second, path('third')])
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(
      /^infilling with stories260K \(\w{8}\); data stories.jsonl \(\w{8}\); mean ± standard deviation over seeds$/m,
    )
    expect(out).toMatch(/^subtrajectory balance +0, 1 +2 +\d+ +\d+ s$/m)
    expect(out).toMatch(/^subtrajectory balance +\d+\.\d\d ± \d+\.\d\d +/m)
    expect(out).toMatch(/^trajectory balance +\d+\.\d\d +/m)
    expect(out).toMatch(/^the task +BLEU-4 +GLEU-4/m)
    expect(out).toMatch(/^base model, asked +/m)
  })

  test('are drawn, and printed as JSON', async () => {
    const { code, out } = await flowtune(['compare', first, second, '--out', path('pictures'), '--json'])
    expect(code).toBe(0)
    const [{ groups }] = JSON.parse(out)
    expect(groups[0].runs).toEqual([
      { folder: first, seed: 0 },
      { folder: second, seed: 1 },
    ])
    expect(groups[0].measures.kl.seeds).toBe(2)
    for (const name of ['training-curves', 'reward-against-seconds', 'kl-against-seconds', 'quality-against-compute'])
      for (const extension of ['svg', 'png'])
        expect(existsSync(path('pictures', `${name}.${extension}`)), name).toBe(true)
  })

  test('that are none are refused by name', async () => {
    const { code, err } = await flowtune(['compare', first, path()])
    expect(code).toBe(2)
    expect(err).toMatch(/^flowtune: .*: no run here: there is no config.json/)
  })
})
