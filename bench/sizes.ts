/** @file Models of known shapes with random weights: how fast a step is does not depend on what the weights are. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { LoraAdapter } from '../src/adapters/lora.ts'
import { writeJson } from '../src/files.ts'
import type { Holding, ModelDescription } from '../src/models/architecture.ts'
import { architectures, turnedInCheckpoint } from '../src/models/architectures.ts'
import { type Lanes, openLanes } from '../src/models/lane.ts'
import { laneShape } from '../src/models/language-model.ts'
import { storedWeights } from '../src/models/stored-weights.ts'
import { seededRandom } from '../src/random.ts'
import { float32, type HostTensor, sizeOf } from '../src/runtime/host-tensor.ts'
import { writeStoredTensors } from '../src/weights/safetensors.ts'

/** What a benchmark runs on, by name: a config.json. */
export const sizes = {
  tiny: llama({ layers: 5, width: 64, heads: 8, keyValueHeads: 4, inner: 172, vocabulary: 512, context: 512 }),
  'gpt2-small': {
    model_type: 'gpt2',
    vocab_size: 50_257,
    n_positions: 1024,
    n_embd: 768,
    n_layer: 12,
    n_head: 12,
  },
  'gpt2-xl': {
    model_type: 'gpt2',
    vocab_size: 50_257,
    n_positions: 1024,
    n_embd: 1600,
    n_layer: 48,
    n_head: 25,
  },
  'gpt-j-6b': {
    model_type: 'gptj',
    vocab_size: 50_400,
    n_positions: 2048,
    n_embd: 4096,
    n_layer: 28,
    n_head: 16,
    rotary_dim: 64,
  },
  'smollm2-135m': llama({
    layers: 30,
    width: 576,
    heads: 9,
    keyValueHeads: 3,
    inner: 1536,
    vocabulary: 49_152,
    context: 8192,
  }),
} satisfies Record<string, { model_type: string } & Record<string, unknown>>

export type SizeName = keyof typeof sizes
export const sizeNames = Object.keys(sizes) as SizeName[]

type Shape = {
  layers: number
  width: number
  heads: number
  keyValueHeads: number
  inner: number
  vocabulary: number
  context: number
}

export function llama({ layers, width, heads, keyValueHeads, inner, vocabulary, context }: Shape) {
  return {
    model_type: 'llama',
    num_hidden_layers: layers,
    hidden_size: width,
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
    intermediate_size: inner,
    vocab_size: vocabulary,
    max_position_embeddings: context,
    tie_word_embeddings: true,
  }
}

export const describeSize = (
  name: SizeName,
  holding: Holding = { storage: 'float32', recompute: 'nothing' },
): ModelDescription => ({
  ...architectures[sizes[name].model_type].describe(sizes[name], name),
  ...holding,
})

/** Opens lanes with random weights, made one tensor at a time. */
export function openRandomLanes(model: ModelDescription, threads: number): Promise<Lanes> {
  const weights = storedWeights(model, (name, elements) => randomParts(name, model.weights[name], elements))
  return openLanes(laneShape(model, { threads }), weights)
}

/** Writes a model of the same kind as a folder that transformers loads, too. */
export function writeRandomModel(folder: string, size: SizeName, model: ModelDescription): void {
  mkdirSync(folder, { recursive: true })
  const turned = turnedInCheckpoint(model)
  const tensors = Object.entries(model.weights).map(([name, held]) => {
    const shape = turned.has(name) ? held.toReversed() : held
    const read = function* () {
      for (const { buffer, byteLength } of randomParts(name, shape, PART)) yield new Uint8Array(buffer, 0, byteLength)
    }
    return [name, { dtype: 'F32', shape, bytes: 4 * sizeOf(shape), read }] as const
  })
  writeStoredTensors(join(folder, 'model.safetensors'), tensors)
  writeJson(join(folder, 'config.json'), sizes[size])
}

const PART = 1 << 22 // numbers that are made at a time

function* randomParts(name: string, shape: readonly number[], elements: number): Iterable<Float32Array> {
  const matrix = shape.length > 1
  const [offset, scale] = matrix ? [0, shape[1] ** -0.5] : name.endsWith('bias') ? [0, 0.1] : [1, 0.1]
  for (let from = 0; from < sizeOf(shape); from += elements) {
    const length = Math.min(elements, sizeOf(shape) - from)
    yield noise(`${name} ${from}`, [length], scale, offset).data as Float32Array
  }
}

/** An adapter whose matrices are all in use (a fresh one has zeros in B). */
export function randomAdapter({ linears, defaultTargets }: ModelDescription): LoraAdapter {
  const config = { rank: 16, alpha: 16, targets: defaultTargets }
  const matrices = linears.flatMap(({ module, inputs, outputs }) => [
    [`${module}.lora_A.weight`, noise(module, [config.rank, inputs], inputs ** -0.5)],
    [`${module}.lora_B.weight`, noise(`${module} B`, [outputs, config.rank], 0.01)],
  ])
  return { config, weights: Object.fromEntries(matrices) }
}

const PERIOD = 99_991 // a prime, so that rows of a matrix do not repeat; drawing 135 million normals would take a minute
const draws = seededRandom(1).at('noise')
const normals = Float32Array.from({ length: PERIOD }, () => draws.normal())

function noise(name: string, shape: readonly number[], scale: number, offset = 0): HostTensor {
  const data = new Float32Array(sizeOf(shape))
  const start = seededRandom(1).at(name).integer(PERIOD)
  for (let i = 0; i < data.length; i++) data[i] = offset + scale * normals[(start + i) % PERIOD]
  return float32(shape, data)
}
