/** Runs that train every weight: they stop and go on, and are evaluated and exported like others. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { everyWeightAdapter } from '../src/adapters/every-weight.ts'
import type { LoraAdapter } from '../src/adapters/lora.ts'
import { writePeftFolder } from '../src/adapters/peft.ts'
import { saveCheckpoint } from '../src/checkpoint/save.ts'
import { exportPolicy } from '../src/export/export-policy.ts'
import { mergedExporter } from '../src/export/merged.ts'
import { peftExporter } from '../src/export/peft.ts'
import { emptyBuffer } from '../src/gflownet/replay-buffer.ts'
import { everyWeightOf } from '../src/models/every-weight.ts'
import { describeModel, loadLanguageModel } from '../src/models/language-model.ts'
import { loadAdapter } from '../src/models/load-adapter.ts'
import { scoreText } from '../src/models/score-text.ts'
import { embeddedModel } from '../src/tasks/embedded.ts'
import { heldOutTexts } from '../src/tasks/held-out-texts.ts'
import { evaluateRun } from '../src/tasks/report.ts'
import {
  latestAdapter,
  type NewRun,
  openRun,
  type ReadyRun,
  resumeRun,
  startRun,
  train,
} from '../src/tasks/task-run.ts'
import { unwatched } from '../src/trainers/collapse.ts'
import { adapterFolder, rewind } from '../src/trainers/run-folder.ts'
import { packState, type TrainingState } from '../src/trainers/state.ts'
import { openWeights } from '../src/weights/open-weights.ts'

const home = mkdtempSync(join(tmpdir(), 'every-weight-run-'))
const at = (...names: string[]) => join(home, ...names)
afterAll(() => rmSync(home, { recursive: true }))

const data = at('stories.jsonl')
const rows = ['The sun was hot.', 'Tom had a dog.', 'Lily saw a cat.'].map((beginning) => ({
  beginning,
  ending: 'They were happy.',
  known: 'He ran home.',
}))
writeFileSync(data, rows.map((row) => JSON.stringify(row)).join('\n'))

const options = (name: string, training: NewRun['training'] = {}): NewRun => ({
  task: 'infilling',
  model: embeddedModel,
  threads: 1,
  data,
  folder: at(name),
  training: {
    method: 'sft',
    parameters: 'all',
    steps: 6,
    promptsPerStep: 2,
    optimizer: { learningRate: 1e-3 },
    latent: { maxTokens: 8 },
    checkpoints: { every: 2 },
    ...training,
  },
})

async function finish(run: ReadyRun, stopAt?: number): Promise<number[]> {
  const stop = new AbortController()
  const losses: number[] = []
  try {
    for await (const event of train(run, stop.signal)) {
      if (event.kind === 'started') expect(event.parameters.trained).toBe(event.parameters.frozen)
      if (event.kind !== 'step') continue
      losses.push(event.metrics['loss/objective'])
      if (event.step === stopAt) stop.abort()
    }
  } finally {
    await run.model.dispose()
  }
  return losses
}

const weights = (name: string) => readFileSync(at(name, 'adapter', 'adapter_model.safetensors'))

beforeAll(async () => {
  const losses = await finish(await startRun(options('whole')))
  expect(losses.at(-1)).toBeLessThan(losses[0] - 5)
})

test('a run that was stopped goes on to the same bits', async () => {
  await finish(await startRun(options('stopped')), 3)
  await finish(await resumeRun(at('stopped')))
  expect(weights('stopped').equals(weights('whole'))).toBe(true)
})

test('GFlowNet fine-tuning trains every weight too, and a run starts from those of another', async () => {
  const { training, ...others } = options('again')
  const { parameters: _, ...further } = { ...training, method: 'gflownet' as const, samplesPerPrompt: 4, steps: 2 }
  const run = await startRun({ ...others, training: further, adapter: at('whole', 'adapter') })
  expect(run.record.training.parameters).toBe('all')
  await finish(run)
  expect(weights('again').equals(weights('whole'))).toBe(false)
  const twice = startRun({ ...options('twice'), adapter: at('whole', 'adapter') })
  await expect(twice).rejects.toThrow(/an adapter to start from does not go with parameters/)
})

test('it is evaluated, and becomes a checkpoint of its own that says the same; PEFT has no such adapter', async () => {
  const run = await openRun(at('whole'), { threads: 1 })
  try {
    const { model } = run
    const adapter = latestAdapter(run)
    const report = await evaluateRun(run, { examples: [rows[0]], adapter, samples: 8 })
    const { base, tuned } = report.prompts[0].samplers
    expect(tuned.meanLogQ).toBeGreaterThan(base.meanLogQ)
    const policy = { path: model.path, description: model.description, adapter }
    const texts = await heldOutTexts(run, adapter)
    const { worstTensor } = await exportPolicy(policy, mergedExporter, { path: at('merged'), texts, threads: 1 })
    expect(worstTensor).toBeNull()
    const merged = await loadLanguageModel(at('merged'), { threads: 1 })
    const [own, exported] = await Promise.all([
      model.lanes.use((lane) => scoreText(lane, { model: model.description, adapter }, texts[0])),
      merged.lanes.use((lane) => scoreText(lane, { model: merged.description }, texts[0])),
    ])
    for (const [i, value] of own.entries()) expect(exported[i]).toBeCloseTo(value, 4)
    await merged.dispose()
    await expect(exportPolicy(policy, peftExporter, { path: at('peft'), texts })).rejects.toThrow(
      /every weight was trained, which PEFT has no adapter for; export with --merged/,
    )
  } finally {
    await run.model.dispose()
  }
})

test('what was saved when GPT-2’s layers were held as its checkpoints store them is read as if it were saved now', async () => {
  const path = new URL('./golden/checkpoints/gpt2', import.meta.url).pathname
  const description = describeModel(path)
  const checkpoint = openWeights(path)
  const former = everyWeightAdapter(
    Object.fromEntries(Object.keys(description.weights).map((name) => [name, checkpoint.read(name)])),
  )
  checkpoint.close()
  const [before, now] = [former, everyWeightOf({ path, description })].map(stateWith)
  const write = (to: string) => writePeftFolder(to, former, { baseModel: 'gpt2', layers: description.linears })
  await saveCheckpoint(at('former'), before.step, { ...packState(before), adapter: write }, { keep: 1 })
  write(adapterFolder(at('former')))
  expect(await rewind(at('former'), description.linears)).toEqual(now)
  expect(loadAdapter(adapterFolder(at('former')), description)).toEqual(now.adapter)

  await saveCheckpoint(at('present'), now.step, { ...packState(now), adapter: write }, { keep: 1 })
  expect(await rewind(at('present'), description.linears)).toEqual(now)
})

/** A state whose optimizer has moments of the same shapes, and other numbers. */
function stateWith(adapter: LoraAdapter): TrainingState {
  const times = (factor: number) =>
    Object.fromEntries(
      Object.entries(adapter.weights).map(([name, tensor]) => [
        name,
        { ...tensor, data: (tensor.data as Float32Array).map((value) => factor * value) },
      ]),
    )
  return {
    ...{ step: 2, seed: 1, adapter, critic: {}, logPartitions: {}, firstToken: unwatched },
    optimizer: { step: 2, first: times(2), second: times(3) },
    buffer: emptyBuffer({ capacity: 1, nearDuplicate: 0.25, drawing: 'uniform' }),
  }
}
