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
  /** rope_freqs.weight, if it is there. */
  ropeFactors: Float32Array | undefined
}

export type Family = {
  /** `general.architecture`. */
  architecture: string
  /** `model_type` of the checkpoints that are written as this; a file is read as the first. */
  modelTypes: readonly [string, ...string[]]
  names: readonly NamePair[]
  /** Whether llama.cpp wants a head of its own even where the model shares the embedding matrix. */
  needsHead?: true
  /** How a tensor is arranged, by its name in a checkpoint with {n}, in a model of this config. */
  arrangement(name: string, heads: { heads: number; keyValueHeads: number }): Arrangement | undefined
  /** What config.json of the same model would say. @throws UserError for a key that is missing or not supported */
  config(keys: Keys, facts: TensorFacts): Record<string, unknown>
  /** The keys of a model with this config. @throws UserError for what the format or llama.cpp cannot hold */
  entries(config: unknown, where: string): FamilyEntries
}

export type FamilyEntries = {
  /** Without the architecture's name before each key. */
  entries: Entries
  heads: number
  keyValueHeads: number
  layers: number
  vocabulary: number
  /** rope_freqs.weight, where the model needs it. */
  ropeFactors?: readonly number[]
}

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
