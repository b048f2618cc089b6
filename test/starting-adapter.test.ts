/** Training that starts from an adapter which was made elsewhere, with ranks and scales of its own. */
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { initialAdapter, type LoraAdapter, type LoraConfig } from '../src/adapters/lora.ts'
import { readPeftFolder, writePeftFolder } from '../src/adapters/peft.ts'
import { fineTune } from '../src/index.ts'
import { describeModel } from '../src/models/language-model.ts'
import { seededRandom } from '../src/random.ts'
import { embeddedModel } from '../src/tasks/embedded.ts'
import { type NewRun, type ReadyRun, resumeRun, startRun, train } from '../src/tasks/task-run.ts'

const home = mkdtempSync(join(tmpdir(), 'starting-'))
const path = (...names: string[]) => join(home, ...names)
afterAll(() => rmSync(home, { recursive: true }))

const config: LoraConfig = {
  rank: 4,
  alpha: 8,
  targets: ['q_proj', 'v_proj', 'down_proj'],
  rankPattern: { 'layers\\.0\\.self_attn\\.q_proj': 2 },
  alphaPattern: { down_proj: 3 },
  rankStabilised: true,
}
let given: LoraAdapter

beforeAll(() => {
  const { linears } = describeModel(embeddedModel)
  const draws = seededRandom(5).at('B')
  given = initialAdapter(config, linears, seededRandom(5))
  for (const { data } of Object.values(given.weights))
    for (let i = 0; i < data.length; i++) data[i] = 0.2 * (draws.uniform() - 0.5)
  writePeftFolder(path('given'), given, { baseModel: 'x', layers: linears })
  const stories = ['The sun was hot.', 'Tom had a dog.', 'Lily saw a cat.']
  const lines = stories.map((beginning) => JSON.stringify({ beginning, ending: 'They were happy.' }))
  writeFileSync(path('stories.jsonl'), lines.join('\n'))
})

const options = (name: string, adapter = 'given'): NewRun => ({
  task: 'infilling',
  threads: 1,
  model: embeddedModel,
  adapter: path(adapter),
  data: path('stories.jsonl'),
  training: { steps: 3, promptsPerStep: 1, samplesPerPrompt: 4, latent: { maxTokens: 4 } },
  folder: path(name),
})

async function finish(run: ReadyRun, stopAt?: number): Promise<void> {
  const stop = new AbortController()
  try {
    for await (const event of train(run, stop.signal)) if (event.kind === 'step' && event.step === stopAt) stop.abort()
  } finally {
    await run.model.dispose()
  }
}

const matrices = (name: string) => readFileSync(path(name, 'adapter', 'adapter_model.safetensors'))

test('a run goes on from the adapter, keeps its ranks and scales, and resumes to the same bits', async () => {
  await finish(await startRun(options('whole')))
  const trained = readPeftFolder(path('whole', 'adapter'))
  expect(trained.config).toEqual(config)
  const name = 'model.layers.0.self_attn.q_proj.lora_A.weight'
  const [before, after] = [given, trained].map(({ weights }) => weights[name].data as Float32Array)
  const largest = Math.max(...before.map((value, i) => Math.abs(value - after[i])))
  expect(largest).toBeGreaterThan(0)
  expect(largest).toBeLessThan(0.01) // three updates of warm-up learning rate: close to where it began

  await finish(await startRun(options('stopped')), 2)
  await finish(await resumeRun(path('stopped')))
  expect(matrices('stopped').equals(matrices('whole'))).toBe(true)
})

test('the record says where it began; a run without a checkpoint starts over from the same adapter', async () => {
  cpSync(path('given'), path('changing'), { recursive: true })
  const run = await startRun(options('unstarted', 'changing'))
  await run.model.dispose()
  const record = JSON.parse(readFileSync(path('unstarted', 'config.json'), 'utf8'))
  expect(record.adapter).toEqual({ folder: path('changing'), sha256: expect.stringMatching(/^[0-9a-f]{64}$/) })
  expect(record.training.lora).toEqual({ rank: 4, alpha: 8, targets: config.targets })

  await finish(await resumeRun(path('unstarted')))
  expect(matrices('unstarted').equals(matrices('whole'))).toBe(true)

  rmSync(path('unstarted', 'checkpoints'), { recursive: true })
  appendFileSync(path('changing', 'adapter_config.json'), ' ')
  await expect(resumeRun(path('unstarted'))).rejects.toThrow(/this adapter has changed since the run began/)
})

test('an adapter does not go with options that would make a fresh one, nor with another model', async () => {
  const training = { ...options('x').training, lora: { rank: 2 } }
  await expect(startRun({ ...options('refused'), training })).rejects.toThrow(/does not go with lora options/)
  cpSync(new URL('golden/adapters/gpt2', import.meta.url), path('gpt2'), { recursive: true })
  await expect(startRun(options('refused', 'gpt2'))).rejects.toThrow(/the model has no such layer/)
  await expect(startRun(options('refused', 'absent'))).rejects.toThrow(/adapter_config\.json: no such file/)
})

test('the adapter that a caller gives is not written to', async () => {
  const run = await startRun(options('library'))
  const copy = structuredClone(given)
  try {
    const events = fineTune({
      ...run.record.training,
      model: run.model,
      adapter: given,
      prompts: run.prompts.map(({ name, tokens, reward }) => ({ name, prompt: tokens, reward })),
    })
    for await (const event of events) if (event.kind === 'finished') expect(event.state.adapter).not.toEqual(copy)
    expect(given).toEqual(copy)
  } finally {
    await run.model.dispose()
  }
})
