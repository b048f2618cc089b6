/** `flowtune predict` as users and machines meet it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { flowtune } from './command-line.ts'

const home = mkdtempSync(join(tmpdir(), 'predict-'))
afterAll(() => rmSync(home, { recursive: true }))
const path = (name: string) => join(home, name)
function file(name: string, rows: readonly object[]): string {
  writeFileSync(path(name), JSON.stringify(rows))
  return path(name)
}
const quick = ['--steps', '1', '--threads', '1', '--set', 'promptsPerStep=1', '--set', 'samplesPerPrompt=2']
const rows = [
  { text: 'the songs are lovely .', label: 1 },
  { text: 'a boy finds a dog .', label: 0 },
]

beforeAll(async () => {
  const data = file('train.json', [...rows, { text: 'the story is dull .', label: 1 }])
  const reviews = ['train', 'subjectivity', '--data', data, '--test-data', file('test.json', rows.slice(0, 1))]
  expect((await flowtune([...reviews, ...quick, '--out', path('reviews')])).code).toBe(0)
})

test('one question is answered with its probability, its uncertainty and the reasons', async () => {
  const { code, out, err } = await flowtune(['predict', path('reviews'), '--text', 'the songs are lovely .'])
  expect([code, err]).toEqual([0, ''])
  expect(out).toMatch(/^(objective|subjective), probability \d+ %( \(\w+ \d+ %\))?\n/)
  expect(out).toMatch(
    /\nuncertainty \d\.\d{3} nats, of which epistemic \d\.\d{3}\n\n +leads to +because\n( *\d+ % .*\n){5}$/,
  )
})

test('a file of questions is answered one a line, with the accuracy where it says what is right', async () => {
  const withLabels = await flowtune(['predict', path('reviews'), '--data', file('q.json', rows), '--average'])
  expect(withLabels.code).toBe(0)
  const lines = withLabels.out.trimEnd().split('\n')
  expect(lines[0]).toMatch(/^answer +right +epistemic +because +text$/)
  expect(lines.at(-1)).toMatch(/^accuracy (0|50|100) % of 2; expected calibration error \d\.\d{3}$/)
  const without = file(
    'bare.json',
    rows.map(({ text }) => ({ text })),
  )
  const bare = await flowtune(['predict', path('reviews'), '--data', without])
  expect(bare.code).toBe(0)
  expect(bare.out).not.toMatch(/right|accuracy/)
})

test('as JSON nothing is left out, and equal seeds give equal answers', async () => {
  const ask = (...words: string[]) =>
    flowtune(['predict', path('reviews'), '--data', file('q.json', rows), '--samples', '4', '--json', ...words])
  const { out } = await ask()
  const { predictions, accuracy } = JSON.parse(out)
  expect(predictions).toHaveLength(2)
  expect(Object.keys(predictions[0]).sort()).toEqual(
    [
      'answer',
      'answers',
      'epistemicUncertainty',
      'example',
      'probability',
      'rationales',
      'right',
      'totalUncertainty',
    ].sort(),
  )
  const right = predictions.filter((one: { answer: string; right: string }) => one.answer === one.right).length
  expect(accuracy).toBe(right / 2)
  expect((await ask()).out).toBe(out)
  expect((await ask('--seed', '1')).out).not.toBe(out)
})

test.each([
  [['--text', 'x', '--average', '--sample'], '--sample does not go with --average; choose one of them'],
  [[], 'the text is missing; give it with --text "…"'],
  [['--text', 'x', '--data', 'y.json'], '--data and a single question do not go together; give one of them'],
  [['--text', 'x', '--field', 'word=y'], 'subjectivity has no column "word"; it has text, known, label'],
  [['--text', 'x', '--label', 'good'], 'the review "x": "good" is no label; write objective or 0, subjective or 1'],
])('%j is refused: %s', async (words, message) => {
  const { code, out, err } = await flowtune(['predict', path('reviews'), ...words])
  expect([code, out, err]).toEqual([2, '', `flowtune: ${message}\n`])
})

test('a run of a task without answers is refused by name', async () => {
  const data = file('stories.json', [
    { beginning: 'Tom sat.', ending: 'He was sad.' },
    { beginning: 'Lily ran.', ending: 'She was happy.' },
  ])
  expect((await flowtune(['train', 'infilling', '--data', data, ...quick, '--out', path('stories')])).code).toBe(0)
  const { code, err } = await flowtune(['predict', path('stories'), '--beginning', 'a', '--ending', 'b'])
  expect([code, err]).toEqual([
    2,
    'flowtune: infilling has no answers to predict; draw its latents with flowtune sample\n',
  ])
})
