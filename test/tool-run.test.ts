/** A task of a user's own with a tool, from the command line: from training to export, and what is said when the tool fails. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ScoredSample } from '../src/tasks/draw.ts'
import { embeddedModel } from '../src/tasks/embedded.ts'
import { heldOutTexts } from '../src/tasks/held-out-texts.ts'
import type { Report } from '../src/tasks/report.ts'
import { latestAdapter, openRun } from '../src/tasks/task-run.ts'
import { flowtune } from './command-line.ts'

const home = mkdtempSync(join(tmpdir(), 'tool-run-'))
const path = (name: string) => join(home, name)
afterAll(() => rmSync(home, { recursive: true }))

function file(name: string, content: string): string {
  writeFileSync(path(name), content)
  return path(name)
}

/** A task file: sentences of a few words, in which a tool answers to " saw". */
const taskFile = (name: string, tool: string) =>
  file(
    name,
    `import { calculator, isolatedTool } from 'flowtune'
     import { existsSync } from 'node:fs'
     export default (text, { logLikelihood }) => logLikelihood + 3 * text.split(' saw').length
     export const tool = ${tool}
     export const prompts = ['Tom sat.', 'Lily ran.', 'Ben slept.', 'Sue sang.', 'Max ate.']
       .map((prompt) => ({ prompt, known: 'They saw a big happy happy' }))
     export const training = {
       steps: 2, promptsPerStep: 2, samplesPerPrompt: 6, lora: { rank: 4 },
       latent: { stop: '.', minTokens: 4, maxTokens: 5, allowedTokens: [' They', ' saw', ' happy'] },
     }`,
  )
const prompt = ['--prompt', 'Tom sat.', '--threads', '1']

/** The one line that a command ends with where it fails. */
async function failure(exitCode: number, ...words: string[]): Promise<string> {
  const { code, out, err } = await flowtune(words)
  expect(err).not.toMatch(/^ +at /m)
  expect(out).toBe('')
  expect(code).toBe(exitCode)
  const lines = err.split('\n').filter((line) => line.startsWith('flowtune: '))
  expect(lines).toHaveLength(1)
  return lines[0].slice('flowtune: '.length)
}

describe('a run with a tool', () => {
  const folder = path('run')
  const answering = `{ name: 'adjective', trigger: ' saw', respond: (text) => {
    if (existsSync(${JSON.stringify(path('broken'))})) throw new Error('no network')
    return text.includes('They') ? ' a big' : ' red'
  } }`
  /** What the tool must have written, by the text before it. */
  const checked = (text: string) => {
    for (const { index } of text.matchAll(/ saw/g)) {
      const [before, after] = [text.slice(0, index), text.slice(index + ' saw'.length)]
      expect(after.startsWith(before.includes('They') ? ' a big' : ' red')).toBe(true)
    }
    return text.includes(' saw')
  }
  beforeAll(async () => {
    const task = taskFile('adjective.ts', answering)
    const { code, err } = await flowtune(['train', task, '--threads', '1', '--out', folder])
    expect(err).not.toContain('flowtune: ')
    expect(code).toBe(0)
  })

  test('writes into what is sampled while it trains', () => {
    const lines = readFileSync(join(folder, 'samples.jsonl'), 'utf8').trim().split('\n')
    expect(lines.filter((line) => checked(JSON.parse(line).text)).length).toBeGreaterThan(0)
  })

  test('knows the latents of the data by what the tool would write', () => {
    const events = readFileSync(join(folder, 'events.jsonl'), 'utf8')
    expect(events).toContain('"kind":"step"')
    expect(events).not.toContain('"kind":"warning"') // that some are none that could be sampled
  })

  test.each([[[]], [['--weighted']], [['--resample', '40']]])(
    'samples with it, and says where it wrote: %j',
    async (how) => {
      const sample = ['sample', folder, ...prompt, '--samples', '12', ...how, '--json']
      const told = JSON.parse((await flowtune(sample)).out)
      const samples: ScoredSample[] = told.samples ?? told
      expect(samples).toHaveLength(12)
      for (const { text, tokens, inserted } of samples) {
        expect(inserted !== undefined).toBe(checked(text))
        expect(tokens.length - (inserted?.length ?? 0)).toBeLessThanOrEqual(5)
      }
      expect(samples.some(({ inserted }) => inserted)).toBe(true)
    },
  )

  test('is evaluated with it, the base model as well', async () => {
    const report: Report = JSON.parse((await flowtune(['evaluate', folder, '--samples', '24', '--json'])).out)
    for (const { samplers } of report.prompts)
      for (const { samples } of Object.values(samplers))
        for (const { text, inserted } of samples) expect(inserted !== undefined).toBe(checked(text))
    const all = report.prompts.flatMap(({ samplers }) => Object.values(samplers).flatMap(({ samples }) => samples))
    expect(all.some(({ inserted }) => inserted)).toBe(true)
  })

  test('is exported with texts that it wrote into', async () => {
    const run = await openRun(folder, { threads: 1 })
    const texts = (await heldOutTexts(run, latestAdapter(run))).map((tokens) =>
      run.model.tokenizer.decodeContinuation(tokens),
    )
    await run.model.dispose()
    expect(texts.filter(checked).length).toBeGreaterThan(0)
  })

  test('ends with one line where the tool throws', async () => {
    writeFileSync(path('broken'), '')
    const message = /^tool "adjective": it threw "no network" for ".* saw"; mend the tool, or give undefined$/
    expect(await failure(1, 'sample', folder, ...prompt, '--samples', '12')).toMatch(message)
    expect(await failure(1, 'evaluate', folder, '--samples', '12')).toMatch(message)
    expect(await failure(2, 'train', path('adjective.ts'), '--threads', '1', '--out', path('none'))).toMatch(message)
    expect(existsSync(path('none'))).toBe(false)
    rmSync(path('broken'))
  })
})

test('a tool that takes too long, or never ends, is told before there is a run, and by sample', async () => {
  const late = taskFile(
    'late.ts',
    "{ name: 'late', trigger: ' saw', timeLimitSeconds: 0.1, respond: () => new Promise(() => {}) }",
  )
  const respond = file('forever.mjs', 'export default () => { for (;;); }')
  const forever = taskFile(
    'forever.ts',
    `isolatedTool({ name: 'forever', trigger: ' saw', timeLimitSeconds: 2, file: ${JSON.stringify(respond)} })`,
  )
  for (const [task, limit] of [
    [late, 0.1],
    [forever, 2],
  ] as const) {
    const message = new RegExp(
      `^tool ".*": it gave no answer within ${limit} s for ".* saw"; mend it, or raise timeLimitSeconds$`,
    )
    expect(await failure(2, 'train', task, '--threads', '1', '--out', path('none'))).toMatch(message)
    expect(existsSync(path('none'))).toBe(false)
    const sample = ['sample', '--model', embeddedModel, '--task', task, ...prompt, '--samples', '40']
    expect(await failure(1, ...sample)).toMatch(message)
  }
})
