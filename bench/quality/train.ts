/** @file Runs of contestants: the sampler at some steps, with the seconds that training took until then. */
import { spawn } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { LoraAdapter } from '../../src/adapters/lora.ts'
import { readPeftFolder, writePeftFolder } from '../../src/adapters/peft.ts'
import { writeJson } from '../../src/files.ts'
import { schedule, warmUp } from '../../src/gflownet/schedules.ts'
import type { LanguageModel } from '../../src/models/language-model.ts'
import { grantedCores } from '../../src/runtime/threads.ts'
import { parseTrainingConfig, type TrainingOptions } from '../../src/trainers/config.ts'
import { prepareCourse } from '../../src/trainers/course.ts'
import type { Python } from '../peers/python.ts'
import type { Distance, Problem } from './problems.ts'

export type Snapshot = { step: number; seconds: number; distance: Distance }

/** What came of a run, and the sampler that it ended with. */
export type Trained = { snapshots: Snapshot[]; adapter: LoraAdapter }

/** What a run of one contestant is. */
export type Setting = {
  options: TrainingOptions
  seed: number
  /** The steps after which the sampler is judged. */
  snapshots: readonly number[]
  start: LoraAdapter
}

const configOf = ({ options, seed }: Pick<Setting, 'options' | 'seed'>) =>
  parseTrainingConfig({ ...options, seed }, 'contestant')

/** Trains from a first adapter on. Judging is not timed; everything else after the model is loaded is. */
export async function trainOurs(model: LanguageModel, problem: Problem, setting: Setting): Promise<Trained> {
  const snapshots: Snapshot[] = []
  let adapter = setting.start
  let seconds = 0
  let from = performance.now()
  const course = await prepareCourse({ model, prompts: [problem.input] }, configOf(setting))
  const { state } = await course.begin(setting.start)
  for await (const { state: after } of course.updates(state)) {
    seconds += (performance.now() - from) / 1000
    if (setting.snapshots.includes(after.step))
      snapshots.push({ step: after.step, seconds, distance: await problem.distance(after.adapter) })
    adapter = after.adapter
    from = performance.now()
  }
  return { snapshots, adapter }
}

/** The adapter that all runs of a seed begin with. */
export async function firstAdapter(model: LanguageModel, problem: Problem, seed: number): Promise<LoraAdapter> {
  const course = await prepareCourse({ model, prompts: [problem.input] }, configOf({ options: problem.options, seed }))
  return (await course.begin()).state.adapter
}

const script = fileURLToPath(new URL('../peers/paper_training.py', import.meta.url))

/** The paper's algorithm in PyTorch. @param folder  has the model; what else the peer reads is written there */
export async function trainPaper(
  { command }: Python,
  { model, folder }: { model: LanguageModel; folder: string },
  problem: Problem,
  { options, seed, snapshots, start }: Setting,
): Promise<Trained> {
  const { steps, optimizer, samplesPerPrompt: samples, sources, replay } = configOf({ options, seed })
  const { stop, minTokens, maxTokens } = problem.support
  const rate = warmUp(optimizer.warmUpSteps, schedule(optimizer.learningRate, steps))
  const learningRates = Array.from({ length: steps }, (_, step) => rate(step))
  const kept = join(folder, 'snapshots')
  rmSync(kept, { recursive: true, force: true })
  mkdirSync(kept)
  writePeftFolder(join(folder, 'adapter'), start, { baseModel: model.name, layers: model.description.linears })
  writeJson(join(folder, 'problem.json'), {
    ...{ prompt: problem.prompt.tokens, stop, minTokens, maxTokens, samples, reward: problem.reward },
    ...{ seed, snapshots, optimizer, learningRates },
    sources: { ...sources, temperatures: [sources.temperatures.from, sources.temperatures.to] },
    replay: { capacity: replay.capacity, near: replay.nearDuplicate },
  })
  const args = [script, '--folder', folder, '--threads', String(grantedCores())]
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  const times: { step: number; seconds: number }[] = []
  for await (const line of createInterface({ input: child.stdout })) times.push(JSON.parse(line))
  const code = await ended
  if (code !== 0) throw new Error(`the paper's training ended with code ${code}`)
  const taken: Snapshot[] = []
  let adapter = start
  for (const time of times) {
    adapter = readPeftFolder(join(kept, String(time.step)))
    taken.push({ ...time, distance: await problem.distance(adapter) })
  }
  return { snapshots: taken, adapter }
}
