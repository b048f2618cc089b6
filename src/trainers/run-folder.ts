/**
 * @file A run as a folder that any tool can read: config.json, events.jsonl, samples.jsonl, checkpoints/<step>/ and the
 * adapter of the latest checkpoint as a PEFT folder. It can be stopped at any instant, also by `kill -9`: what was
 * written after the checkpoint that it goes on from is cut away, and then written again, the same to the last bit.
 */
import {
  appendFileSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { inPresentLayout } from '../adapters/every-weight.ts'
import type { LinearLayer } from '../adapters/lora.ts'
import { writePeftFolder } from '../adapters/peft.ts'
import { listCheckpoints } from '../checkpoint/checkpoint.ts'
import { loadCheckpoint } from '../checkpoint/load.ts'
import { removeCheckpointsFrom, saveCheckpoint } from '../checkpoint/save.ts'
import { UserError } from '../errors.ts'
import { contentsOf, fileProblem, readJson, writeJson, writeWhole } from '../files.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { TrainingEvent } from './events.ts'
import { type RunRecord, runRecordSchema } from './run-record.ts'
import { packState, type TrainingState, unpackState, updatesDone } from './state.ts'

const RECORD_FILE = 'config.json'
const EVENTS_FILE = 'events.jsonl'
const SAMPLES_FILE = 'samples.jsonl'

/** The adapter of a run's latest checkpoint. */
export const adapterFolder = (run: string) => join(run, 'adapter')

/** The reference model's own adapter of the same checkpoint, where a run trained one. */
export const referenceFolder = (run: string) => join(run, 'reference-adapter')

export const hasCheckpoint = (run: string) => listCheckpoints(run).length > 0

/** Makes a run's folder, which must not exist. @throws UserError where it does */
export function createRunFolder(folder: string, record: RunRecord): void {
  refuseExisting(folder)
  mkdirSync(folder, { recursive: true })
  writeRecord(folder, record)
}

export const writeRecord = (folder: string, record: RunRecord) => writeJson(join(folder, RECORD_FILE), record)

/** @throws UserError where there is something at the path of a run's folder, before any work is done for it */
export function refuseExisting(folder: string): void {
  if (existsSync(folder))
    throw new UserError({
      what: 'this folder exists',
      where: folder,
      fix: existsSync(join(folder, RECORD_FILE)) ? 'resume it, or choose another one' : 'choose another one',
    })
}

/** runs/<name>-<n> with the next n that is free. */
export function nextRunFolder(parent: string, name: string): string {
  const taken = existsSync(parent) ? readdirSync(parent) : []
  const numbers = taken.flatMap((entry) => entry.match(`^${name}-(\\d+)$`)?.[1] ?? []).map(Number)
  return join(parent, `${name}-${Math.max(0, ...numbers) + 1}`)
}

/** What the run was asked to do. @throws UserError where the folder is no run */
export function readRecord(folder: string): RunRecord {
  const path = join(folder, RECORD_FILE)
  if (!existsSync(path))
    throw new UserError({
      what: `no run here: there is no ${RECORD_FILE}`,
      where: folder,
      fix: existsSync(folder) ? `it holds ${contentsOf(folder)}` : 'there is no such folder',
    })
  const record = runRecordSchema.safeParse(readJson(path, z.unknown()))
  if (record.success) return record.data
  throw new UserError({
    what: 'this is not the record of a run',
    where: path,
    fix: 'name a run folder; a model folder is named with --model',
  })
}

/**
 * Writes a run's events into its folder and hands them on. A checkpoint is whole before its event is seen further down.
 * @param keep the checkpoints that stay
 */
export async function* recorded(
  events: AsyncIterable<TrainingEvent>,
  { folder, model, keep }: { folder: string; model: LanguageModel; keep: number },
): AsyncGenerator<TrainingEvent> {
  for await (const event of events) {
    if (event.kind === 'samples') append(join(folder, SAMPLES_FILE), sampleLines(event, model))
    else if (event.kind !== 'started' || event.step === 0) append(join(folder, EVENTS_FILE), [eventLine(event)])
    if ('state' in event) await save(folder, event.state, model, keep)
    yield event
  }
}

/** Without the state, which checkpoints hold. */
const eventLine = (event: TrainingEvent) => ({ ...event, state: undefined, time: new Date().toISOString() })

const sampleLines = ({ step, samples }: Extract<TrainingEvent, { kind: 'samples' }>, { tokenizer }: LanguageModel) =>
  samples.map(({ prompt, ...sample }) => ({
    step,
    prompt,
    text: tokenizer.decodeContinuation(sample.tokens),
    ...sample,
  }))

function append(path: string, lines: readonly object[]): void {
  try {
    appendFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  } catch (error) {
    throw fileProblem(error, path)
  }
}

async function save(folder: string, state: TrainingState, model: LanguageModel, keep: number): Promise<void> {
  const write = (to: string, { adapter }: TrainingState) =>
    writePeftFolder(to, adapter, { baseModel: model.name, layers: model.description.linears })
  const step = updatesDone(state)
  for (const file of [EVENTS_FILE, SAMPLES_FILE]) syncFile(join(folder, file)) // they must not be behind the checkpoint
  if (!listCheckpoints(folder).includes(step))
    // else a finished run was resumed
    await saveCheckpoint(folder, step, { ...packState(state), adapter: (to) => write(to, state) }, { keep })
  write(adapterFolder(folder), state) // its config never changes within a run, so each file by itself is enough
  if (state.reference) write(referenceFolder(folder), state.reference)
}

function syncFile(path: string): void {
  if (!existsSync(path)) return
  const file = openSync(path, 'r+')
  fsyncSync(file)
  closeSync(file)
}

/**
 * The state that a run goes on from: that of a step's checkpoint, or of the latest one. Undefined where there is none yet,
 * or for step 0: then the run starts over. Everything later is removed from the folder.
 * @param layers the linear layers of the run's model
 * @throws UserError for a checkpoint that is missing or damaged, naming those that are whole
 */
export async function rewind(
  folder: string,
  layers: readonly LinearLayer[],
  step = listCheckpoints(folder).at(-1) ?? 0,
): Promise<TrainingState | undefined> {
  const state = step === 0 ? undefined : await stateAt(folder, step, layers)
  const until = state ? updatesDone(state) : -1
  removeCheckpointsFrom(folder, until + 1)
  keepLines(join(folder, EVENTS_FILE), (event) => event.kind !== 'finished' && event.step <= until)
  keepLines(join(folder, SAMPLES_FILE), (sample) => sample.step < until) // `step` updates had been done before them
  return state
}

async function stateAt(folder: string, step: number, layers: readonly LinearLayer[]): Promise<TrainingState> {
  const { tensors, json } = await loadCheckpoint(folder, step)
  return unpackState({ tensors: inPresentLayout(tensors, layers), json })
}

type Line = { kind?: string; step: number }

function keepLines(path: string, isKept: (line: Line) => boolean): void {
  if (!existsSync(path)) return
  const lines = readFileSync(path, 'utf8').split('\n')
  const whole = lines.slice(
    0,
    lines.findIndex((line) => parsed(line) === undefined),
  ) // a kill may leave a part of one
  const kept = whole.filter((line) => isKept(parsed(line)!))
  writeWhole(
    path,
    kept.map((line) => `${line}\n`),
  )
}

/** Undefined for a line that was not written to its end, and for the nothing after the last one. */
function parsed(line: string): Line | undefined {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
