/** @file A causal language model that is ready to run: its description, its tokenizer, and its weights in lanes. */
import { UserError } from '../errors.ts'
import type { HostTensor } from '../runtime/host-tensor.ts'
import { grantedCores } from '../runtime/threads.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import type { Weights } from '../weights/open-weights.ts'
import type { Architecture, ModelDescription } from './architecture.ts'
import { gpt2 } from './gpt2.ts'
import { type Lanes, openLanes } from './lane.ts'
import { llama } from './llama.ts'
import { modelFiles } from './model-files.ts'

/** Every architecture that can be loaded, by its `model_type`. */
export const architectures: Record<string, Architecture> = { [llama.modelType]: llama, [gpt2.modelType]: gpt2 }

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

export type LoadOptions = {
  /** Threads in all; default: the cores that this process may use. */
  threads?: number
}

/** Parameters below which an operation is too short for several threads, and prompts run side by side instead. */
const SMALL_MODEL = 20_000_000

/**
 * Loads a model: a folder in Hugging Face form (config.json, tokenizer.json, safetensors). Call `dispose` when done.
 * @throws UserError for a missing, damaged or unsupported model, before any weight is read
 */
export async function loadLanguageModel(path: string, options: LoadOptions = {}): Promise<LanguageModel> {
  const files = modelFiles(path)
  const description = describeModel(path)
  const tokenizer = await files.tokenizer()
  checkVocabulary(tokenizer, description, path)
  const chatTemplate = files.chatTemplate()
  return { name: files.name, path, tokenizer, chatTemplate, ...(await loadWeights(path, description, options)) }
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

/** The same without a tokenizer, for checkpoints that have none. */
export async function loadWeights(
  path: string,
  description: ModelDescription,
  { threads = grantedCores() }: LoadOptions = {},
) {
  const weights = modelFiles(path).openWeights()
  try {
    const names = checkedNames(weights, description)
    const lanes = await openLanes(laneShape(description, threads), tensorsOf(weights, names, description))
    return { description, lanes, dispose: () => lanes.dispose() }
  } finally {
    weights.close()
  }
}

/** How many lanes a model gets, and how many threads each. */
export const laneShape = (description: ModelDescription, threads: number) =>
  parameterCount(description) < SMALL_MODEL ? { count: threads, threads: 1 } : { count: 1, threads }

/** Number of frozen parameters; a tied head counts once. */
export const parameterCount = ({ weights }: ModelDescription) =>
  Object.values(weights).reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0)

/** Reads config.json. @throws UserError where it is missing, damaged, or of an unknown architecture */
export function describeModel(path: string): ModelDescription {
  const { config, configPath } = modelFiles(path)
  const json = config() as { model_type?: unknown }
  const type = String(json?.model_type)
  if (Object.hasOwn(architectures, type)) return architectures[type].describe(json, configPath)
  throw new UserError({
    what: `unknown architecture "${type}"`,
    where: configPath,
    fix: `use a checkpoint of ${Object.keys(architectures).join(' or ')}`,
  })
}

/** Our name → the checkpoint's. @throws UserError naming the first weight that is missing or has another shape */
function checkedNames(weights: Weights, description: ModelDescription): Map<string, string> {
  const prefix = architectures[description.modelType].optionalPrefix ?? ''
  const names = new Map<string, string>()
  for (const [name, shape] of Object.entries(description.weights)) {
    const stored = weights.has(name) ? name : name.slice(prefix.length)
    const found = weights.shapeOf(stored) // refuses a name that is not there
    if (`${found}` !== `${shape}`)
      throw new UserError({
        what: `tensor ${stored} has shape [${found}], but config.json asks for [${shape}]`,
        where: weights.path,
        fix: 'use the config.json that belongs to these weights',
      })
    names.set(name, stored)
  }
  return names
}

function* tensorsOf(
  weights: Weights,
  names: Map<string, string>,
  { tables }: ModelDescription,
): Iterable<[string, HostTensor]> {
  for (const [name, stored] of names) yield [name, weights.read(stored)]
  for (const [name, table] of Object.entries(tables)) yield [name, { ...table, data: table.data.slice() }] // uploading moves it
}
