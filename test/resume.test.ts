/** A run that was stopped, however it was stopped, goes on to the same bits as one that was not. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { listCheckpoints } from '../src/checkpoint/checkpoint.ts'
import { embeddedModel } from '../src/tasks/embedded.ts'
import { type NewRun, type ReadyRun, resumeRun, startRun, train } from '../src/tasks/task-run.ts'

const home = mkdtempSync(join(tmpdir(), 'resume-'))
const folder = (name: string) => join(home, name)
afterAll(() => rmSync(home, { recursive: true }))

const stories = ['The sun was hot.', 'Tom had a dog.', 'Lily saw a cat.', 'It was a big day.', 'They had a ball.']
const data = join(home, 'stories.jsonl')
writeFileSync(data, stories.map((beginning) => JSON.stringify({ beginning, ending: 'They were happy.' })).join('\n'))
const training = {
  steps: 6,
  promptsPerStep: 2,
  samplesPerPrompt: 6,
  latent: { maxTokens: 6 },
  checkpoints: { every: 2, keep: 3 },
  objective: { name: 'trajectory-balance' as const }, // it learns log Z, which must be kept too
}
const options = (name: string): NewRun => ({
  task: 'infilling',
  threads: 1, // one lane: fewer sessions to build
  model: embeddedModel,
  data,
  training,
  folder: folder(name),
})

/** Trains to the end, or until the step after which it is told to stop. */
async function finish(run: ReadyRun, stopAt?: number): Promise<void> {
  const stop = new AbortController()
  try {
    for await (const event of train(run, stop.signal)) if (event.kind === 'step' && event.step === stopAt) stop.abort()
  } finally {
    await run.model.dispose()
  }
}

const read = (name: string, ...path: string[]) => readFileSync(join(folder(name), ...path))

/** Files by their hashes: comparing megabytes one by one takes longer than training. */
const hash = (name: string, ...path: string[]) =>
  createHash('sha256')
    .update(read(name, ...path))
    .digest('hex')

/** All that a run left behind, without times and without the checkpoint of a step at which it happened to stop. */
function result(name: string) {
  const events = read(name, 'events.jsonl').toString().trim().split('\n')
  return {
    events: events.map((line) =>
      JSON.parse(line, (key, value) => (key.startsWith('time') ? undefined : (value as unknown))),
    ),
    samples: read(name, 'samples.jsonl').toString(),
    adapter: ['adapter_config.json', 'adapter_model.safetensors'].map((file) => hash(name, 'adapter', file)),
    checkpoints: [4, 6].map((step) =>
      ['state.safetensors', 'state.json', 'manifest.json'].map((file) =>
        hash(name, 'checkpoints', `00000${step}`, file),
      ),
    ),
  }
}

let uninterrupted: ReturnType<typeof result>
beforeAll(async () => {
  await finish(await startRun(options('uninterrupted')))
  uninterrupted = result('uninterrupted')
})

test('an uninterrupted run has written all its steps, samples and checkpoints', () => {
  const kinds = uninterrupted.events.map(({ kind, step }) => `${kind} ${step}`)
  const first = ['started 0', 'step 1', 'step 2', 'checkpoint 2']
  const rest = ['step 3', 'step 4', 'checkpoint 4', 'step 5', 'step 6', 'finished 6']
  expect(kinds).toEqual([...first, ...rest])
  const samples = uninterrupted.samples
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(new Set(samples.map(({ step }) => step))).toEqual(new Set([0, 1, 2, 3, 4, 5]))
  expect(listCheckpoints(folder('uninterrupted'))).toEqual([2, 4, 6])
})

test('a run that was told to stop after step 3 goes on to the same result', async () => {
  await finish(await startRun(options('stopped')), 3)
  expect(listCheckpoints(folder('stopped'))).toEqual([2, 3])
  const resumed = await resumeRun(folder('stopped'))
  expect(resumed.state?.step).toBe(3)
  await finish(resumed)
  expect(result('stopped')).toEqual(uninterrupted)
})

test('a run whose process was killed goes on to the same result', async () => {
  const config = join(home, 'config.json')
  writeFileSync(config, JSON.stringify(training))
  const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
  const words = ['train', '--data', data, '--config', config, '--threads', '1', '--out', folder('killed')]
  const child = spawn(process.execPath, ['--import', 'tsx', main, ...words], { stdio: 'ignore' })
  const exited = once(child, 'exit')
  const events = join(folder('killed'), 'events.jsonl')
  while (child.exitCode === null && !(existsSync(events) && readFileSync(events, 'utf8').includes('"step":3,')))
    await sleep(5)
  child.kill('SIGKILL')
  expect(await exited).toEqual([null, 'SIGKILL'])
  const resumed = await resumeRun(folder('killed'))
  expect(resumed.state?.step).toBeOneOf([2, 4]) // the kill may strike a little later on a busy machine
  await finish(resumed)
  expect(result('killed')).toEqual(uninterrupted)
})

/** A copy of the uninterrupted run, to be harmed. */
function copy(name: string): string {
  cpSync(folder('uninterrupted'), folder(name), { recursive: true })
  return folder(name)
}

test('a run that was killed before its first checkpoint, in the middle of a line, starts over', async () => {
  rmSync(join(copy('early'), 'checkpoints'), { recursive: true })
  rmSync(join(folder('early'), 'adapter'), { recursive: true })
  for (const file of ['events.jsonl', 'samples.jsonl']) truncateSync(join(folder('early'), file), 150)
  const resumed = await resumeRun(folder('early'))
  expect(resumed.state).toBeUndefined()
  await finish(resumed)
  expect(result('early')).toEqual(uninterrupted)
})

test('a run goes on from an earlier checkpoint, and its later ones are gone', async () => {
  copy('earlier')
  const resumed = await resumeRun(folder('earlier'), {}, 2)
  expect(listCheckpoints(folder('earlier'))).toEqual([2])
  await finish(resumed)
  expect(result('earlier')).toEqual(uninterrupted)
})

test('a finished run that is resumed stays as it is', async () => {
  await finish(await resumeRun(copy('finished')))
  expect(result('finished')).toEqual(uninterrupted)
})

test('a damaged checkpoint is refused and the previous good one offered', async () => {
  truncateSync(join(copy('damaged'), 'checkpoints', '000006', 'state.safetensors'), 1000)
  await expect(resumeRun(folder('damaged'))).rejects.toThrow(
    /checkpoints.000006: the checkpoint is damaged: state\.safetensors has 1,000 bytes .*; resume with --from-step 4$/,
  )
  await finish(await resumeRun(folder('damaged'), {}, 4))
  expect(result('damaged')).toEqual(uninterrupted)
})

test('a run is not resumed with other data or another model than it began with', async () => {
  const other = join(home, 'other')
  cpSync(embeddedModel, other, { recursive: true })
  await (await resumeRun(copy('moved'), { model: other })).model.dispose()
  appendFileSync(join(other, 'config.json'), ' ')
  await expect(resumeRun(folder('moved'))).rejects.toThrow('other: this is not the model of the run')
  const stories = readFileSync(data)
  appendFileSync(data, '\n{"beginning": "One more.", "ending": "They were sad."}')
  await expect(resumeRun(copy('changed'))).rejects.toThrow('stories.jsonl: this file has changed since the run began')
  writeFileSync(data, stories)
})
