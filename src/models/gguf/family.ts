/** @file What a family of models is in GGUF: its keys, the names of its tensors, and which of them are arranged otherwise. */
import type { Entries } from '../../weights/gguf/entries.ts'
import type { Arrangement } from './arrangement.ts'
import type { Keys } from './keys.ts'

/** A tensor's name in GGUF and in a checkpoint, {n} standing for the number of a layer. */
export type NamePair = readonly [gguf: string, checkpoint: string]

/** What the tensors of a file say that the metadata does not. */
export type TensorFacts = {
  /** Rows of the embedding matrix. */
  vocabulary: number
  /** Whether logits come from the embedding matrix. */
  tied: boolean
  /** Whether the first layer has a tensor of this name in GGUF, without `blk.0.` before it. */
  has(name: string): boolean
  /** rope_freqs.weight, if it is there. */
  ropeFactors: Float32Array | undefined
}

export type Heads = { heads: number; keyValueHeads: number }

export type Family = {
  /** `general.architecture`. */
  architecture: string
  /** `model_type` of the checkpoints that are written as this; a file is read as the first. */
  modelTypes: readonly [string, ...string[]]
  names: readonly NamePair[]
  /** How a tensor is arranged, by its name in a checkpoint with {n}. */
  arrangement(name: string, heads: Heads): Arrangement | undefined
  /** What config.json of the same model would say. @throws UserError for a key that is missing or not supported */
  config(keys: Keys, facts: TensorFacts): Record<string, unknown>
  /** The keys of a model with this config. @throws UserError for what the format or llama.cpp cannot hold */
  describe(config: unknown, where: string): WrittenModel
}

export type WrittenModel = Heads & {
  /** Without the architecture's name before each key. */
  entries: Entries
  layers: number
  vocabulary: number
  /** Whether a model of this config lacks a tensor of the family, by its name in GGUF with {n}. */
  lacks(name: string): boolean
  /** rope_freqs.weight, where the model needs it. */
  ropeFactors?: readonly number[]
}

/** The name of the matrix that makes logits where it is not the embedding matrix. */
export const HEAD = 'output.weight'

/** The weight and the bias of modules. */
export const withBiases = (pairs: readonly NamePair[]): NamePair[] =>
  pairs.flatMap(([gguf, checkpoint]) =>
    ['weight', 'bias'].map((part): NamePair => [`${gguf}.${part}`, `${checkpoint}.${part}`]),
  )

/** The weights of modules. */
export const weightsOnly = (pairs: readonly NamePair[]): NamePair[] =>
  pairs.map(([gguf, checkpoint]) => [`${gguf}.weight`, `${checkpoint}.weight`])

/** A name with {n} for the number of its layer, and that number. */
export function templateOf(name: string): { template: string; layer: string } {
  const layer = /\.(\d+)\./.exec(name)?.[1] ?? ''
  return { template: layer ? name.replace(`.${layer}.`, '.{n}.') : name, layer }
}
