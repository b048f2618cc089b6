/** @file A causal language model that is ready to run: its description, its tokenizer, and its weights in lanes. */
import { UserError } from '../errors.ts'
import type { Device } from '../runtime/providers.ts'
import { grantedCores } from '../runtime/threads.ts'
import type { Storage } from '../tensor/ops/stored.ts'
import { refuseAbsentDevice } from '../tensor/probe-device.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { type DownloadProgress, type ResolveOptions, resolveModel } from '../weights/hub/resolve-model.ts'
import type { Weights } from '../weights/open-weights.ts'
import type { ConfigDescription, Holding, ModelDescription } from './architecture.ts'
import { describeConfig, namesInCheckpoint, turnedInCheckpoint } from './architectures.ts'
import { type Lanes, openLanes } from './lane.ts'
import { availableBytes, ORDINARY_WORK, planMemory, promptBytesWithin, type Workload } from './memory.ts'
import { modelFiles } from './model-files.ts'
import { storedWeights } from './stored-weights.ts'

export type LanguageModel = {
  readonly name: string
  /** The folder or the file that it was loaded from. */
  readonly path: string
  readonly description: ModelDescription
  readonly tokenizer: Tokenizer
  /** How the model writes a chat, in Jinja; undefined where it was not trained on any. */
  readonly chatTemplate: string | undefined
  readonly lanes: Lanes
  dispose(): Promise<void>
}

/** What is known of a model before its weights are there. */
export type ModelOutline = Omit<LanguageModel, 'lanes' | 'dispose'>

export type LoadOptions = {
  /** In how many bits matrices are held; default: the most exact that fits into memory. */
  weights?: Storage
  /** Memory that the process may take, bytes; default: what the machine or the container grants. */
  memoryBytes?: number
  /** What a step will work on, by which memory is planned; default: 64 latents of 16 tokens after a prompt of 64. */
  work?: Workload
  /** Bytes that prompts may take which were read, so that they need not be read again; default 256 MB, if a step leaves as much. */
  promptBytes?: number
  /** How the model is to be held, all said: no planning. */
  holding?: Holding
  /** Threads in all; default: the cores that this process may use. */
  threads?: number
  /**
   * Prompts of a step that are worked on side by side, each with its part of the threads and a copy of the weights; default: one for each
   * thread where the model is small, else one prompt after another.
   */
  lanes?: number
  /** Where the model runs; default: the processor. */
  device?: Device
  /** Follows the download of a model that comes from the hub. */
  onDownload?: (progress: DownloadProgress) => void
}

/** Parameters below which an operation is too short for several threads, and prompts run side by side instead. */
const SMALL_MODEL = 20_000_000

/** The path of a model; one of the hub is fetched, and refused before its weights where it cannot be run. */
export const localModel = (spec: string, options: Omit<ResolveOptions, 'check'> = {}) =>
  resolveModel(spec, { ...options, check: describeModel })

/**
 * Loads a model: a folder in Hugging Face form (config.json, tokenizer.json, safetensors), a GGUF file, or `owner/name[@revision]`
 * on the hub. Call `dispose` when done.
 * @throws UserError for a missing, damaged or unsupported model, before any weight is read
 */
export async function loadLanguageModel(spec: string, options: LoadOptions = {}): Promise<LanguageModel> {
  await refuseAbsentDevice(options.device ?? 'cpu')
  const path = await localModel(spec, { onProgress: options.onDownload })
  const outline = await outlineModel(path)
  const holding = options.holding ?? planHolding(outline.description, options)
  return withWeights(outline, holding, { ...options, promptBytes: planPrompts(outline.description, holding, options) })
}

/** A model of which all but the weights is there. @throws UserError where they are damaged or another model's */
export const withWeights = async (
  outline: ModelOutline,
  holding: Holding,
  options: Pick<LoadOptions, 'threads' | 'device' | 'lanes' | 'promptBytes'>,
): Promise<LanguageModel> => ({
  ...outline,
  ...(await loadWeights(outline.path, { ...outline.description, ...holding }, options)),
})

/** All of a local model but its weights. @throws UserError for a missing, damaged or unsupported one */
export async function outlineModel(path: string): Promise<ModelOutline> {
  const files = modelFiles(path)
  const description = describeModel(path)
  const tokenizer = await files.tokenizer()
  checkVocabulary(tokenizer, description, path)
  return { name: files.name, path, tokenizer, chatTemplate: files.chatTemplate(), description }
}

/** How a model is held so that it fits. @throws UserError naming what would need less, where nothing does */
export function planHolding(description: ModelDescription, options: LoadOptions): Holding {
  const { storage, recompute } = planMemory(description, {
    work: options.work ?? ORDINARY_WORK,
    lanes: laneShape(description, options).count,
    storage: options.weights,
    availableBytes: options.memoryBytes ?? availableBytes(),
  })
  return { storage, recompute }
}

/** Rows that no token names only pad the embedding. @throws UserError where a token has no row */
function checkVocabulary({ vocabularySize }: Tokenizer, { dimensions }: ModelDescription, path: string): void {
  if (vocabularySize <= dimensions.vocabulary) return
  throw new UserError({
    what: `the tokenizer has ${vocabularySize} tokens, and the model knows ${dimensions.vocabulary}`,
    where: path,
    fix: 'use the tokenizer that belongs to these weights',
  })
}

/** Bytes that prompts may take which were read. */
export const planPrompts = (
  description: ModelDescription,
  holding: Holding,
  { promptBytes, ...options }: LoadOptions,
): number => {
  const work = options.work ?? ORDINARY_WORK
  const lanes = laneShape(description, options).count
  const limit = options.memoryBytes ?? availableBytes()
  return promptBytesWithin(description, holding, { work, lanes, availableBytes: limit }, promptBytes)
}

/** The same without a tokenizer, for checkpoints that have none. */
export async function loadWeights(
  path: string,
  description: ModelDescription,
  { promptBytes, ...options }: LoadOptions = {},
) {
  await refuseAbsentDevice(options.device ?? 'cpu')
  const weights = modelFiles(path).openWeights()
  try {
    const names = storedNames(weights, description)
    const lanes = await openLanes(
      { ...laneShape(description, options), promptBytes },
      storedWeights(description, (name, elements) => weights.parts(names.get(name)!, elements)),
    )
    return { description, lanes, dispose: () => lanes.dispose() }
  } finally {
    weights.close()
  }
}

/** How many lanes a model gets, and how many threads each. Another device than the processor is shared by none. */
export function laneShape(
  description: ModelDescription,
  { threads = grantedCores(), device = 'cpu', lanes }: Pick<LoadOptions, 'threads' | 'device' | 'lanes'>,
) {
  const isSmall = parameterCount(description) < SMALL_MODEL
  const count = device === 'cpu' ? Math.min(threads, lanes ?? (isSmall ? threads : 1)) : 1
  return { device, count, threads: Math.floor(threads / count) }
}

/** Number of frozen parameters; a tied head counts once. */
export const parameterCount = ({ weights }: ConfigDescription) =>
  Object.values(weights).reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0)

/** What needs no decoding and no second computation: the fastest, where it fits. */
const PLAIN: Holding = { storage: 'float32', recompute: 'nothing' }

/** Reads config.json. @throws UserError where it is missing, damaged, or of an unknown architecture */
export function describeModel(path: string, { storage, recompute }: Holding = PLAIN): ModelDescription {
  const { config, configPath } = modelFiles(path)
  return { ...describeConfig(config(), configPath), storage, recompute }
}

/** Our name → the checkpoint's. @throws UserError naming the first weight that is missing or has another shape */
export function storedNames(weights: Weights, description: ModelDescription): Map<string, string> {
  const names = new Map<string, string>()
  for (const [name, shape] of Object.entries(description.weights)) {
    const stored = namesInCheckpoint(description, name).find((known) => weights.has(known)) ?? name
    const found = weights.shapeOf(stored) // refuses a name that is not there
    if (`${found}` !== `${shape}`) {
      const isTurned = turnedInCheckpoint(description).has(name)
      const [there, wanted] = [found, shape].map((held) => (isTurned ? held.toReversed() : held))
      throw new UserError({
        what: `tensor ${stored} has shape [${there}], but config.json asks for [${wanted}]`,
        where: weights.path,
        fix: 'use the config.json that belongs to these weights',
      })
    }
    names.set(name, stored)
  }
  return names
}
