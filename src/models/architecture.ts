/**
 * @file What an architecture is: how to read its config.json, the weights it expects, and its forward pass as one
 * function over packed tokens. Packing, caching, LoRA and scoring know nothing of architectures, and architectures
 * nothing of them.
 */
import type { LinearLayer } from '../adapters/lora.ts'
import type { Storage } from '../tensor/ops/stored.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** The sizes of a transformer that everything outside its own file needs. */
export type Dimensions = {
  layers: number
  width: number
  heads: number
  /** Heads of keys and values; fewer than `heads` where queries share them. */
  keyValueHeads: number
  headWidth: number
  vocabulary: number
  /** Longest sequence, in tokens. */
  contextLength: number
}

/** What a forward pass is given. Tensors are packed: [tokens, …], whoever attends to whom. */
export type ForwardContext = {
  tokens: Tensor // [tokens], whole numbers
  positions: Tensor // [tokens], whole numbers
  /** A vector. */
  weight: (name: string) => Tensor
  /** Rows of a matrix: the embeddings [ids, width] of tokens or positions. */
  embed: (name: string, ids: Tensor) => Tensor
  /** A linear layer by its module name, with its bias if it has one and its adapter if it is adapted. */
  linear: (module: string, x: Tensor) => Tensor
  /** Several that read the same x, in the order of their names: what their adapters do with x is one product. */
  linears: (modules: readonly string[], x: Tensor) => Tensor[]
  /** Attention of queries [tokens, heads·headWidth] to keys and values [tokens, keyValueHeads·headWidth] in one layer. */
  attend: (layer: number, query: Tensor, key: Tensor, value: Tensor) => Tensor
}

/** A causal language model as its config.json describes it. */
export type ConfigDescription = {
  modelType: string
  dimensions: Dimensions
  /** Names and shapes of the weights that a checkpoint must have; a linear layer's is [outputs, inputs], however it is stored there. */
  weights: Record<string, readonly number[]>
  /** Linear layers that LoRA can adapt. */
  linears: readonly LinearLayer[]
  /** Of these, those that read the same x, group by group, as `hiddenStates` asks for them: their int8 copies are one matrix. */
  readers?: readonly (readonly string[])[]
  /** Last parts of module names that are adapted unless the user says otherwise. */
  defaultTargets: readonly string[]
  /** Name of the [vocabulary, width] matrix that turns hidden states into logits. */
  head: string
  /** Name of the [vocabulary] bias of the logits, where there is one. */
  headBias?: string
  /** Why the context is shorter than what config.json states, for whoever runs into its end. */
  contextLimit?: string
  /** Hidden states after the last normalisation, [tokens, width]. */
  hiddenStates: (context: ForwardContext) => Tensor
}

/**
 * What of the forward pass is computed again to learn, to hold less memory: nothing but activation functions; the linear layers' outputs
 * that sampling has computed (tape.ts); besides those what is cheap, between the outputs of linear layers; or whole layers, each from
 * what enters it.
 */
export const recomputations = ['nothing', 'sampled', 'cheap', 'layers'] as const
export type Recomputation = (typeof recomputations)[number]

/** How a model is held in memory: in how many bits its matrices are, and what the learn step computes twice. */
export type Holding = { storage: Storage; recompute: Recomputation }

/**
 * A model that programs can be built for.
 * `int8`: those that score given tokens, and the learn step, multiply by an int8 copy of its matrices: near it, and faster.
 */
export type ModelDescription = ConfigDescription & Holding & { int8?: boolean }

/** The context as messages say it: "4096 (its attention slides over 4096 tokens)". */
export const describeContext = ({ dimensions, contextLimit }: ConfigDescription) =>
  `${dimensions.contextLength}${contextLimit === undefined ? '' : ` (${contextLimit})`}`

/** An architecture: the names it has in `model_type`, and how to read a config of it. */
export type Architecture = {
  modelType: string
  /** Other names that a checkpoint may give to a weight. */
  aliases: (weight: string) => readonly string[]
  /** @throws UserError naming every key that is missing, malformed or asks for what is not supported */
  describe: (config: unknown, where: string) => ConfigDescription
}
