/**
 * @file How much memory a model takes: its weights in each storage, and what a training step adds to them. The parts are
 * counted from the sizes of the model and of the step; the factors come from the table of docs/memory.md.
 */
import { UserError } from '../errors.ts'
import { sizeOf } from '../runtime/host-tensor.ts'
import { BLOCK, type Storage } from '../tensor/ops/stored.ts'
import {
  type ConfigDescription,
  type Holding,
  type ModelDescription,
  type Recomputation,
  recomputations,
} from './architecture.ts'
import { storageOf } from './frozen.ts'
import { logitsAtOnce } from './head.ts'
import { type Int8Part, int8CopyBytes } from './int8-copy.ts'
import { PROMPT_BYTES } from './prompt-cache.ts'
import { LOGIT_BYTES, TOKENS_AT_ONCE } from './score.ts'

/** Bytes that a weight takes, scales and zero points of blocks included. */
const BYTES: Record<Storage, number> = { float32: 4, float16: 2, int8: 1 + 2 / BLOCK, int4: 0.5 + 3 / BLOCK }

/** Bytes of a model's weights. */
export function storedBytes(config: ConfigDescription, storage: Storage): number {
  const model: ModelDescription = { ...config, storage, recompute: 'nothing' }
  const weights = Object.entries(config.weights).map(([name, shape]) => sizeOf(shape) * BYTES[storageOf(model, name)])
  return weights.reduce((sum, bytes) => sum + bytes, 0)
}

/** What a step works on at a time: the latents of one prompt. */
export type Workload = {
  prompts: number
  promptTokens: number
  samples: number
  latentTokens: number
  /** Tokens that are scored after every prefix of every latent. */
  endingTokens: number
  /** Parameters that are trained: those of the adapters. */
  trained: number
  /** Parts of a step that multiply by int8 copies of the weights. */
  int8?: readonly Int8Part[]
  /** Is what the policy computes while it samples used to learn, where memory allows? */
  taped: boolean
}

/** A step of ordinary size, for whoever does not train, or knows no better. */
export const ORDINARY_WORK: Workload = {
  prompts: 64,
  promptTokens: 64,
  samples: 64,
  latentTokens: 16,
  endingTokens: 12,
  trained: 0,
  taped: true,
}

const NODE_BYTES = 120e6 // Node, the runtime's library and a tokenizer
const FLOAT = 4
/** Copies of an adapter: its own, the runtime's, gradients, two moments, and an update under way. */
const ADAPTER_COPIES = 7
/** Gradients while they are made: themselves, and the parts that they are summed from. */
const GRADIENT_COPIES = 2
/** Values that a layer holds for the backward pass, in multiples of what leaves its linear layers. */
const HELD: Record<Recomputation, number> = { nothing: 2.1, sampled: 2.1, cheap: 1.35, layers: 0 }

/** Bytes of the process at the peak of a training step. */
export function expectedBytes(
  config: ConfigDescription,
  { storage, recompute }: Holding,
  work: Workload,
  lanes = 1,
): number {
  const perLane = storedBytes(config, storage) + Object.values(phases(config, { storage, recompute }, work)).reduce(add)
  return NODE_BYTES + lanes * perLane + ADAPTER_COPIES * FLOAT * work.trained
}

/** What the sessions of a lane hold, each at its own peak: the runtime keeps the memory of each for the next step. */
function phases(config: ConfigDescription, { storage, recompute }: Holding, work: Workload) {
  const { layers, width, vocabulary } = config.dimensions
  const { promptTokens, samples, latentTokens, endingTokens, int8 = [], taped } = work
  const latent = samples * latentTokens
  const linear = config.linears.reduce((sum, { outputs }) => sum + outputs, 0) / layers // leaves a layer's linear layers
  const widest = Math.max(...config.linears.map(({ outputs }) => outputs))
  const head = storage === 'float32' ? 0 : FLOAT * vocabulary * width // decoded while it is used
  const logits = FLOAT * vocabulary
  const isHeadTrained = work.trained >= Object.values(config.weights).reduce((sum, shape) => sum + sizeOf(shape), 0)
  const learnedLogits = (isHeadTrained ? 2.2 : 4) * FLOAT * logitsAtOnce(vocabulary, isHeadTrained) // and what is made of them
  const largest = Math.max(...config.linears.map(({ inputs, outputs }) => FLOAT * inputs * outputs))
  const decoded = WORKSPACE[storage] * largest // the layer under way
  const tokens = promptTokens + latent
  const branches = endingTokens * samples * (latentTokens + 1)
  return {
    sampling: 2 * (head + decoded) + 10 * samples * logits + 4 * FLOAT * layers * samples * latentTokens * width,
    int8Copies:
      (int8.includes('rollouts') ? int8CopyBytes(config) : 0) +
      (int8.includes('scoring') || int8.includes('learning') ? int8CopyBytes(config) : 0) +
      (int8.includes('learning') ? int8CopyBytes(config, 'back') : 0),
    scoring:
      head + decoded + 4 * LOGIT_BYTES + FLOAT * Math.min(tokens + branches, TOKENS_AT_ONCE) * (4 * widest + 4 * width),
    learning:
      head +
      decoded +
      latent * learnedLogits +
      FLOAT * tokens * layers * (HELD[recompute] * linear + (['cheap', 'layers'].includes(recompute) ? width : 0)) +
      FLOAT * tokens * 3 * linear + // the layer under way
      GRADIENT_COPIES * FLOAT * work.trained,
    tape: taped && recompute === 'nothing' ? FLOAT * tokens * layers * linear : 0,
  }
}

/** Bytes that prompts may take which were read: what is asked for, as far as a step leaves it. */
export const promptBytesWithin = (
  config: ConfigDescription,
  holding: Holding,
  { work, lanes, availableBytes }: { work: Workload; lanes: number; availableBytes: number },
  most = PROMPT_BYTES,
): number => Math.min(most, Math.max(0, availableBytes - expectedBytes(config, holding, work, lanes)))

/** Bytes of the prompts of a workload once all have been read: their keys and values in every layer, and their hidden states. */
export const readPromptBytes = (
  { layers, keyValueHeads, headWidth, width }: ConfigDescription['dimensions'],
  { prompts, promptTokens }: Workload,
): number => FLOAT * prompts * promptTokens * (2 * layers * keyValueHeads * headWidth + width)

/** What decoding a matrix takes, in multiples of its float32 form. */
const WORKSPACE: Record<Storage, number> = { float32: 0, float16: 1, int8: 2.2, int4: 2.2 }

const add = (a: number, b: number) => a + b

/** Ways to hold a model, the fastest and most exact first: half precision costs less than computing twice does. */
const WAYS: readonly Holding[] = [
  { storage: 'float32', recompute: 'nothing' },
  { storage: 'float32', recompute: 'sampled' },
  { storage: 'float16', recompute: 'nothing' },
  { storage: 'float16', recompute: 'sampled' },
  { storage: 'float16', recompute: 'cheap' },
  { storage: 'float16', recompute: 'layers' },
  { storage: 'int8', recompute: 'layers' },
  { storage: 'int4', recompute: 'layers' },
]

export type MemoryPlan = Holding & { expectedBytes: number; availableBytes: number }

/**
 * How to hold a model for a step so that it fits.
 * @param storage what the user asks for; then only what is computed twice is chosen
 * @throws UserError naming what would need less, where nothing fits
 */
export function planMemory(
  config: ConfigDescription,
  {
    work,
    lanes,
    storage,
    availableBytes,
  }: { work: Workload; lanes: number; storage?: Storage; availableBytes: number },
): MemoryPlan {
  const ways = storage === undefined ? WAYS : recomputations.map((recompute): Holding => ({ storage, recompute }))
  const expected = (way: Holding) => expectedBytes(config, way, work, lanes)
  const fitting = ways.find((way) => expected(way) <= availableBytes)
  if (fitting) return { ...fitting, expectedBytes: expected(fitting), availableBytes }
  const least = ways.at(-1)!
  const smaller = WAYS.filter((way) => way.recompute === 'layers' && expected(way) <= availableBytes)
  const options = [
    ...smaller.map((way) => `--weights ${way.storage} (${gigabytes(expected(way))})`),
    'fewer samplesPerPrompt',
    'shorter prompts or latents',
    'a smaller model',
  ]
  throw new UserError({
    what: `with ${least.storage} weights a step of ${work.samples} samples needs about ${gigabytes(expected(least))}, and ${gigabytes(availableBytes)} are available`,
    where: 'memory',
    fix: `choose ${options.join(', or ')}`,
  })
}

/** Bytes that this process may still take, a container's limit considered. */
export const availableBytes = (): number => process.availableMemory() + process.memoryUsage.rss()

export const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(bytes < 1e9 ? 2 : 1)} GB`
