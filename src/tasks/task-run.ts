/**
 * @file A task's training as a run: from the user's files to a run folder and a stream of events, and from a run folder
 * back to where it stopped. What can be wrong is found before the folder is made and any work is done.
 */
import { resolve } from 'node:path'
import { chooseTargets, isTarget, type LoraAdapter } from '../adapters/lora.ts'
import { readPeftFolder } from '../adapters/peft.ts'
import { UserError } from '../errors.ts'
import {
  describeModel,
  type LanguageModel,
  type LoadOptions,
  loadLanguageModel,
  localModel,
  type ModelOutline,
  outlineModel,
  parameterCount,
  planHolding,
  planPrompts,
  withWeights,
} from '../models/language-model.ts'
import { hashOfAdapter, loadAdapter } from '../models/load-adapter.ts'
import { expectedBytes, readPromptBytes, storedBytes, type Workload } from '../models/memory.ts'
import { modelFiles } from '../models/model-files.ts'
import { underReference } from '../rewards/compose.ts'
import { grantedCores } from '../runtime/threads.ts'
import type { Support } from '../sampling/support.ts'
import { type BoundTool, bindTool } from '../sampling/tools.ts'
import { refuseAbsentDevice } from '../tensor/probe-device.ts'

import { chatTokens } from '../tokenizer/chat-template.ts'
import { parseTrainingConfig, type TrainingConfig, type TrainingOptions, withDefaults } from '../trainers/config.ts'
import type { ColumnMap } from '../trainers/data-files.ts'
import { int8PartsOf } from '../trainers/int8.ts'
import { type Prompt, resolvePrompts, supportOf } from '../trainers/prompts.ts'
import {
  adapterFolder,
  createRunFolder,
  hasCheckpoint,
  nextRunFolder,
  readRecord,
  recorded,
  referenceFolder,
  refuseExisting,
  rewind,
  writeRecord,
} from '../trainers/run-folder.ts'
import { hashedFileOf, type RunRecord, version } from '../trainers/run-record.ts'
import type { TrainingState } from '../trainers/state.ts'
import { isTaped } from '../trainers/taped.ts'
import { checkTraining, fineTune } from '../trainers/train.ts'
import { examplesOf, filesOf, refuseChanged } from './examples.ts'
import { findTask } from './index.ts'
import type { Example, Task, TaskAnswer } from './task.ts'
import { tryReward, tryTool } from './try-reward.ts'
import { isTaskFile } from './user-task.ts'

/** A run and its model. Whoever opened it disposes the model. */
export type OpenRun = { folder: string; record: RunRecord; task: Task; model: LanguageModel }

/** What prompts are made of; their rewards are under the reference model with its adapter, where it has one. */
export type PromptSource = Pick<OpenRun, 'task'> & {
  model: ModelOutline
  record: PromptRecord
  reference?: LoraAdapter
}

/** A run that is ready to train: from its beginning, or from a state. */
export type ReadyRun = OpenRun & {
  training: readonly Example[]
  /** Those of the training examples. */
  prompts: readonly Prompt[]
  /** None of the training examples is among them; empty where there is one example only. */
  heldOut: readonly Example[]
  /** Bytes: of the weights as they are held, and of the process at the peak of a step, by the sizes of both. */
  memory: { storedBytes: number; expectedBytes: number }
  /** Where training starts from, unless from a state; undefined: a fresh adapter. */
  adapter?: LoraAdapter
  state?: TrainingState
}

export type NewRun = LoadOptions & {
  /** The name of one of our tasks, or the file of a user's own. */
  task: string
  /** The model's folder, its file, or its id on the hub. */
  model: string
  /** A PEFT folder to start from; default: a fresh adapter. */
  adapter?: string
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
  const training = configOf(task, options)
  const model = await recordOfModel(options.model, options)
  const adapter = options.adapter === undefined ? null : recordOfAdapter(options.adapter, model.folder)
  const record: UnplannedRecord = {
    command: options.command ?? '',
    task: isTaskFile(options.task) ? resolve(options.task) : task.name,
    taskFile: isTaskFile(options.task) ? await hashedFileOf(options.task) : null,
    model,
    chat: options.chat ? chatTemplateOf(task, model.folder) : null,
    adapter,
    training,
    ...files,
    columns: Object.fromEntries(
      Object.entries(options.columns ?? {}).map(([ours, theirs]) => [ours, [theirs ?? []].flat()]),
    ),
    device: options.device ?? 'cpu',
    threads: options.threads ?? grantedCores(),
    versions: { flowtune: version, node: process.versions.node },
  }
  return prepare(folder, record, options, async (run) => {
    const adapter = startingAdapter(run)
    createRunFolder(folder, run.record)
    return { ...run, adapter }
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

/** The training config, where `lora` says what is trained. @throws UserError where that is asked for twice */
function configOf(task: Task, { training = {}, adapter }: NewRun): TrainingConfig {
  const config = parseTrainingConfig(withDefaults(task.defaults ?? {}, training), 'config')
  if (adapter === undefined) return config
  if (training.lora !== undefined || training.parameters !== undefined)
    throw new UserError({
      what: `an adapter to start from does not go with ${training.lora ? 'lora options' : 'parameters'}: it has its own rank, alpha and targets, or every weight`,
      where: adapter,
      fix: 'leave them out',
    })
  const { rank, alpha, targets, everyWeight } = readPeftFolder(adapter).config
  if (everyWeight) return { ...config, parameters: 'all' }
  return { ...config, parameters: 'lora', lora: { rank, alpha, targets: [...targets] } }
}

/** @throws UserError where the adapter cannot be read, or was made for another model */
function recordOfAdapter(folder: string, model: string): RunRecord['adapter'] {
  loadAdapter(folder, describeModel(model))
  return { folder: resolve(folder), sha256: hashOfAdapter(folder) }
}

/** The adapter that a run starts from, if not from a fresh one. @throws UserError where it has changed since */
function startingAdapter({ record: { adapter }, model }: OpenRun): LoraAdapter | undefined {
  if (adapter === null) return undefined
  const { folder, sha256 } = adapter
  if (hashOfAdapter(folder) !== sha256)
    throw new UserError({ what: 'this adapter has changed since the run began', where: folder, fix: 'start a new run' })
  return loadAdapter(folder, model.description)
}

/**
 * Goes on with a run as if it had not been stopped.
 * @param fromStep an earlier checkpoint than the latest, or 0 for the beginning
 * @throws UserError where the model or the data is not the run's any more, or the checkpoint is damaged
 */
export async function resumeRun(folder: string, changes: Reopening = {}, fromStep?: number): Promise<ReadyRun> {
  const record = await reopened(folder, changes)
  return prepare(folder, record, { promptBytes: changes.promptBytes, lanes: changes.lanes }, async (run) => {
    const state = await rewind(folder, fromStep)
    const adapter = state ? undefined : startingAdapter(run)
    writeRecord(folder, record)
    return { ...run, adapter, state }
  })
}

/** A run's model, to use its adapter. @throws UserError where the model is not the run's */
export async function openRun(folder: string, changes: Reopening = {}): Promise<OpenRun> {
  const record = await reopened(folder, changes)
  return { folder, record, task: await taskOf(record), model: await loadModel(record) }
}

/** The events of a run's training; what they say is in its folder before it is handed on. */
export const train = (run: ReadyRun, signal?: AbortSignal) =>
  recorded(fineTune({ ...trainingOf(run), adapter: run.adapter, resume: run.state, signal }), {
    folder: run.folder,
    model: run.model,
    keep: run.record.training.checkpoints.keep,
  })

/** What a run trains on, and how. */
const trainingOf = ({ record, task, model, prompts }: Pick<ReadyRun, 'record' | 'task' | 'model' | 'prompts'>) => ({
  ...record.training,
  model,
  tool: task.tool,
  prompts: prompts.map(({ tokens, answer, ...prompt }) => ({
    ...prompt,
    prompt: tokens,
    ...(answer && { answer: { ...answer, text: answer.tokens } }),
  })),
})

/** The adapter of a run's latest checkpoint. @throws UserError where there is none yet */
export function latestAdapter({ folder, model }: OpenRun): LoraAdapter {
  if (hasCheckpoint(folder)) return loadAdapter(adapterFolder(folder), model.description)
  throw new UserError({
    what: 'this run has no checkpoint yet',
    where: folder,
    fix: `go on with it: flowtune train --resume ${folder}`,
  })
}

/** Which latents a run may sample, and the tool that writes into them. */
export const limitsOf = ({
  task,
  model,
  record,
}: Pick<OpenRun, 'task' | 'model'> & { record: Pick<RunRecord, 'training'> }): {
  support: Support
  tool?: BoundTool
} => ({
  support: supportOf(record.training, model),
  ...(task.tool && { tool: bindTool(task.tool, model.tokenizer) }),
})
/** The reference model's own adapter of a run's latest checkpoint; undefined where it has none, and is as it was. */
export const latestReference = ({ folder, model, record }: OpenRun): LoraAdapter | undefined =>
  record.training.em.rounds > 0 && hasCheckpoint(folder)
    ? loadAdapter(referenceFolder(folder), model.description)
    : undefined

/** What of a run's record its prompts depend on. */
export type PromptRecord = Pick<RunRecord, 'training' | 'chat' | 'demonstrations'>

/** Prompts of examples, checked. @throws UserError for one that leaves no room for the latent */
export function promptsOf({ task, model, record, reference }: PromptSource, examples: readonly Example[]): Prompt[] {
  const { chat, demonstrations } = record
  const inputs = examples.map((example) => {
    const prompt = task.prompt(example, model, demonstrations)
    const answer = task.answer && answerOf(task.answer(example, model, demonstrations))
    return {
      ...prompt,
      ...(chat !== null && { prompt: chatTokens(task.chat!(example), chat, model.tokenizer) }),
      ...(reference && { reward: underReference(prompt.reward, reference) }),
      ...(answer && { answer }),
    }
  })
  return resolvePrompts(inputs, { model, maxTokens: record.training.latent.maxTokens })
}

const answerOf = ({ beginning, stopInText, right }: TaskAnswer) => right && { text: right.text, beginning, stopInText }

/** A record before the examples are read and it is known how the model is held. */
type UnplannedRecord = Omit<RunRecord, 'holding' | 'demonstrations'> &
  Partial<Pick<RunRecord, 'holding' | 'demonstrations'>>

/**
 * Reads the examples and checks the prompts, then loads the model so that their steps fit into memory, and finishes; where
 * that fails no model is left behind.
 */
async function prepare(
  folder: string,
  given: UnplannedRecord,
  limits: Pick<LoadOptions, 'weights' | 'memoryBytes' | 'promptBytes' | 'lanes'>,
  finish: (run: ReadyRun) => Promise<ReadyRun>,
): Promise<ReadyRun> {
  const task = await taskOf(given)
  const { training, heldOut } = await examplesOf({ task, record: given })
  task.check?.(training)
  const demonstrations = given.demonstrations ?? [...(task.demonstrations?.(training) ?? [])]
  const outline = await outlineModel(given.model.folder)
  const described = { task, record: { ...given, demonstrations }, model: outline }
  const prompts = promptsOf(described, training)
  if (heldOut.length > 0) promptsOf(described, heldOut)
  const { threads, device } = given
  const work = workloadOf(outline, given.training, prompts)
  const holding = given.holding ?? planHolding(outline.description, { ...limits, work, threads, device })
  const record: RunRecord = { ...described.record, holding }
  const promptBytes = planPrompts(outline.description, holding, { ...limits, work, threads, device })
  const model = await withWeights(outline, holding, { threads, device, promptBytes, lanes: limits.lanes })
  try {
    const run = { folder, record, task, model }
    if (record.taskFile) {
      await tryReward(prompts[0], { model, support: supportOf(record.training, model) })
      if (task.tool) await tryTool(task.tool, model)
    }
    await checkTraining(trainingOf({ record, task, model, prompts }))
    const { description } = model
    const memory = {
      storedBytes: storedBytes(description, holding.storage),
      expectedBytes:
        expectedBytes(description, holding, work, model.lanes.count) +
        Math.min(promptBytes, readPromptBytes(description.dimensions, work)),
    }
    return await finish({ ...run, training, prompts, heldOut, memory })
  } catch (error) {
    await model.dispose()
    throw error
  }
}

/** @throws UserError where the task's file has changed */
async function taskOf({ task, taskFile }: Pick<RunRecord, 'task' | 'taskFile'>): Promise<Task> {
  if (taskFile) await refuseChanged(taskFile)
  return findTask(task)
}

/** Tokens that a reward scores after every prefix of a latent: those of a sentence, for want of knowing the reward. */
const ENDING_TOKENS = 16

/** What a step of a run works on at a time. @throws UserError where the targets of the adapter name no layer */
function workloadOf({ description }: ModelOutline, config: TrainingConfig, prompts: readonly Prompt[]): Workload {
  return {
    prompts: prompts.length,
    promptTokens: prompts.reduce((most, { tokens }) => Math.max(most, tokens.length), 0),
    samples: config.samplesPerPrompt,
    latentTokens: config.latent.maxTokens,
    endingTokens: ENDING_TOKENS,
    int8: int8PartsOf(config),
    taped: isTaped(config, description),
    trained: (config.em.rounds > 0 ? 2 : 1) * trainedParameters(description, config),
  }
}

/** Parameters of one adapter. */
function trainedParameters(model: ModelOutline['description'], { lora, parameters }: TrainingConfig): number {
  if (parameters === 'all') return parameterCount(model)
  const targets = chooseTargets(lora.targets ?? model.defaultTargets, model.linears)
  return model.linears
    .filter(({ module }) => isTarget({ targets }, module))
    .reduce((sum, { inputs, outputs }) => sum + lora.rank * (inputs + outputs), 0)
}

const loadModel = ({ model, device, threads, holding }: RunRecord) =>
  loadLanguageModel(model.folder, { device, threads, holding })

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
    holding: { ...record.holding, ...(changes.weights && { storage: changes.weights }) },
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
