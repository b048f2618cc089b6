/**
 * @file A task's training as a run: from the user's files to a run folder and a stream of events, and from a run folder
 * back to where it stopped. What can be wrong is found before the folder is made and any work is done.
 */
import { resolve } from 'node:path'
import type { LoraAdapter } from '../adapters/lora.ts'
import { UserError } from '../errors.ts'
import {
  describeModel,
  type LanguageModel,
  type LoadOptions,
  loadLanguageModel,
  localModel,
} from '../models/language-model.ts'
import { loadAdapter } from '../models/load-adapter.ts'
import { modelFiles } from '../models/model-files.ts'
import { grantedCores } from '../runtime/threads.ts'
import { refuseAbsentDevice } from '../tensor/probe-device.ts'
import { chatTokens } from '../tokenizer/chat-template.ts'
import { parseTrainingConfig, type TrainingOptions, withDefaults } from '../trainers/config.ts'
import type { ColumnMap } from '../trainers/data-files.ts'
import { type Prompt, resolvePrompts, supportOf } from '../trainers/prompts.ts'
import {
  adapterFolder,
  createRunFolder,
  hasCheckpoint,
  nextRunFolder,
  readRecord,
  recorded,
  refuseExisting,
  rewind,
  writeRecord,
} from '../trainers/run-folder.ts'
import { hashedFileOf, type RunRecord, version } from '../trainers/run-record.ts'
import type { TrainingState } from '../trainers/state.ts'
import { fineTune } from '../trainers/train.ts'
import { examplesOf, filesOf, refuseChanged } from './examples.ts'
import { findTask } from './index.ts'
import type { Example, Task } from './task.ts'
import { tryReward } from './try-reward.ts'
import { isTaskFile } from './user-task.ts'

/** A run and its model. Whoever opened it disposes the model. */
export type OpenRun = { folder: string; record: RunRecord; task: Task; model: LanguageModel }

/** A run that is ready to train: from its beginning, or from a state. */
export type ReadyRun = OpenRun & {
  training: readonly Example[]
  /** Those of the training examples. */
  prompts: readonly Prompt[]
  /** None of the training examples is among them; empty where there is one example only. */
  heldOut: readonly Example[]
  state?: TrainingState
}

export type NewRun = LoadOptions & {
  /** The name of one of our tasks, or the file of a user's own. */
  task: string
  /** The model's folder, its file, or its id on the hub. */
  model: string
  /** Default: the task's own examples. */
  data?: string
  /** Default: those of the task, or a part of the data is held out. */
  testData?: string
  /** The data's names for the task's columns. */
  columns?: ColumnMap
  /** They go before the task's own. */
  training?: TrainingOptions
  /** Write prompts in the chat template of the model. */
  chat?: boolean
  /** Default: the next free runs/<task>-<n>. */
  folder?: string
  /** What the user typed, for the record. */
  command?: string
}

/** What may be otherwise when a run is opened again: where its model is by now, and what computes. */
export type Reopening = LoadOptions & { model?: string }

/** Makes a run's folder and gets everything ready. @throws UserError before anything is written */
export async function startRun(options: NewRun): Promise<ReadyRun> {
  const task = await findTask(options.task)
  const folder = options.folder ?? nextRunFolder('runs', task.name)
  refuseExisting(folder)
  const { data, testData } = filesOf(task, options)
  const ofFile = (file: string | undefined) => (file === undefined ? null : hashedFileOf(file))
  const files = { data: await ofFile(data), testData: await ofFile(testData) } // before a model is fetched for them
  const training = parseTrainingConfig(withDefaults(task.defaults ?? {}, options.training ?? {}), 'config')
  const model = await recordOfModel(options.model, options)
  const record: RunRecord = {
    command: options.command ?? '',
    task: isTaskFile(options.task) ? resolve(options.task) : task.name,
    taskFile: isTaskFile(options.task) ? await hashedFileOf(options.task) : null,
    model,
    chat: options.chat ? chatTemplateOf(task, model.folder) : null,
    training,
    ...files,
    columns: Object.fromEntries(
      Object.entries(options.columns ?? {}).map(([ours, theirs]) => [ours, [theirs ?? []].flat()]),
    ),
    device: options.device ?? 'cpu',
    threads: options.threads ?? grantedCores(),
    versions: { flowtune: version, node: process.versions.node },
  }
  return prepare(folder, record, async (run) => {
    createRunFolder(folder, record)
    return run
  })
}

/** @throws UserError where the model or the task knows no chat */
export function chatTemplateOf(task: Task, model: string): string {
  const template = modelFiles(model).chatTemplate()
  const fix = 'do without --chat'
  if (template === undefined) throw new UserError({ what: 'the model has no chat template', where: model, fix })
  if (!task.chat) throw new UserError({ what: `${task.name} cannot be asked for in a chat`, fix })
  return template
}

/**
 * Goes on with a run as if it had not been stopped.
 * @param fromStep an earlier checkpoint than the latest, or 0 for the beginning
 * @throws UserError where the model or the data is not the run's any more, or the checkpoint is damaged
 */
export async function resumeRun(folder: string, changes: Reopening = {}, fromStep?: number): Promise<ReadyRun> {
  const record = await reopened(folder, changes)
  return prepare(folder, record, async (run) => {
    const state = await rewind(folder, fromStep)
    writeRecord(folder, record)
    return { ...run, state }
  })
}

/** A run's model, to use its adapter. @throws UserError where the model is not the run's */
export async function openRun(folder: string, changes: Reopening = {}): Promise<OpenRun> {
  const record = await reopened(folder, changes)
  return { folder, record, task: await taskOf(record), model: await loadModel(record) }
}

/** The events of a run's training; what they say is in its folder before it is handed on. */
export const train = ({ folder, record, model, prompts, state }: ReadyRun, signal?: AbortSignal) =>
  recorded(
    fineTune({
      ...record.training,
      model,
      prompts: prompts.map(({ name, tokens, reward, known }) => ({ name, prompt: tokens, reward, known })),
      resume: state,
      signal,
    }),
    { folder, model, keep: record.training.checkpoints.keep },
  )

/** The adapter of a run's latest checkpoint. @throws UserError where there is none yet */
export function latestAdapter({ folder, model }: OpenRun): LoraAdapter {
  if (hasCheckpoint(folder)) return loadAdapter(adapterFolder(folder), model.description)
  throw new UserError({
    what: 'this run has no checkpoint yet',
    where: folder,
    fix: `go on with it: flowtune train --resume ${folder}`,
  })
}

/** Prompts of examples, checked. @throws UserError for one that leaves no room for the latent */
export const promptsOf = (
  { task, model, record }: Pick<OpenRun, 'task' | 'model'> & { record: Pick<RunRecord, 'training' | 'chat'> },
  examples: readonly Example[],
): Prompt[] =>
  resolvePrompts(
    examples.map((example) => {
      const prompt = task.prompt(example, model)
      if (record.chat === null) return prompt
      return { ...prompt, prompt: chatTokens(task.chat!(example), record.chat, model.tokenizer) }
    }),
    { model, maxTokens: record.training.latent.maxTokens },
  )

/** Reads the examples, loads the model and checks the prompts, then finishes; where that fails no model is left behind. */
async function prepare(
  folder: string,
  record: RunRecord,
  finish: (run: ReadyRun) => Promise<ReadyRun>,
): Promise<ReadyRun> {
  const task = await taskOf(record)
  const { training, heldOut } = await examplesOf({ task, record })
  const model = await loadModel(record)
  try {
    const run = { folder, record, task, model }
    const prompts = promptsOf(run, training)
    if (heldOut.length > 0) promptsOf(run, heldOut)
    if (record.taskFile) await tryReward(prompts[0], { model, support: supportOf(record.training, model) })
    return await finish({ ...run, training, prompts, heldOut })
  } catch (error) {
    await model.dispose()
    throw error
  }
}

/** @throws UserError where the task's file has changed */
async function taskOf({ task, taskFile }: RunRecord): Promise<Task> {
  if (taskFile) await refuseChanged(taskFile)
  return findTask(task)
}

const loadModel = ({ model, device, threads }: RunRecord) => loadLanguageModel(model.folder, { device, threads })

/** A run's record with what is otherwise now. @throws UserError where the model is another one */
async function reopened(folder: string, changes: Reopening): Promise<RunRecord> {
  const record = readRecord(folder)
  const model = await recordOfModel(changes.model ?? record.model.folder, changes)
  if (model.sha256 !== record.model.sha256)
    throw new UserError({
      what: 'this is not the model of the run, or it has changed since',
      where: model.folder,
      fix: 'give the model that the run began with',
    })
  return {
    ...record,
    model,
    device: changes.device ?? record.device,
    threads: changes.threads ?? record.threads,
  }
}

/** Where a model is, and what. @throws UserError saying what is missing, where the hash alone would only fail or differ */
async function recordOfModel(spec: string, { device = 'cpu', onDownload }: LoadOptions): Promise<RunRecord['model']> {
  await refuseAbsentDevice(device)
  const path = await localModel(spec, { onProgress: onDownload })
  describeModel(path)
  return { folder: resolve(path), sha256: modelFiles(path).contentHash() }
}
