/** @file Writes a model as a GGUF file that llama.cpp reads: config, tokenizer and chat template become metadata. */
import { UserError } from '../../errors.ts'
import { sizeOf } from '../../runtime/host-tensor.ts'
import { tokenizerToGguf } from '../../tokenizer/gguf/to-gguf.ts'
import type { TokenizerSource } from '../../tokenizer/tokenizer.ts'
import { BLOCK_TYPES } from '../../weights/gguf/block-types.ts'
import { count, type Entries, flag, integers, reals, text, texts } from '../../weights/gguf/entries.ts'
import { type WrittenTensor, writeGgufFile } from '../../weights/gguf/write-file.ts'
import { type Arrangement, toStored } from './arrangement.ts'
import { familyOfModel } from './families.ts'
import { type Family, templateOf, type WrittenModel } from './family.ts'

/** A tensor under its name in a checkpoint. */
export type TensorSource = {
  name: string
  shape: readonly number[]
  /** Its float32 values in order, at most so many at a time; an array may be used again for the next part. */
  parts: (elements: number) => Iterable<Float32Array>
}

export type GgufModel = {
  /** What config.json says. */
  config: unknown
  /** Where that comes from, for messages. */
  configPath: string
  /** A model without one takes token ids only. */
  tokenizer?: TokenizerSource
  chatTemplate?: string
  name?: string
  /** The tensors of the architecture, each once; a head that is the embedding matrix is left out. */
  tensors: readonly TensorSource[]
  /** How matrices are stored; norms, biases and positions stay float32. */
  type: 'F16' | 'Q8_0'
}

const PART_ELEMENTS = 1 << 20
const FILE_TYPES = { F16: 1, Q8_0: 7 } // llama.cpp's numbers

/**
 * @throws UserError, before anything is written, where GGUF or llama.cpp cannot hold the model; the file appears whole or
 * not at all
 */
export function writeGguf(path: string, model: GgufModel): void {
  const { config, configPath, tokenizer, type } = model
  const family = familyOfModel(String((config as { model_type?: unknown } | null)?.model_type), configPath)
  const facts = family.describe(config, configPath)
  const ofArchitecture = Object.entries(facts.entries).map(([key, entry]) => [`${family.architecture}.${key}`, entry])
  const entries: Entries = {
    'general.architecture': text(family.architecture),
    'general.type': text('model'),
    ...(model.name && { 'general.name': text(model.name) }),
    'general.file_type': count(FILE_TYPES[type]),
    'general.quantization_version': count(2),
    ...Object.fromEntries(ofArchitecture),
    ...(tokenizer ? tokenizerEntries(tokenizer, facts.vocabulary) : { 'tokenizer.ggml.model': text('none') }),
    ...(model.chatTemplate && { 'tokenizer.chat_template': text(model.chatTemplate) }),
  }
  writeGgufFile(path, entries, [...ropeTensor(facts), ...writtenTensors(model, family, facts)])
}

function tokenizerEntries({ json, limits, path }: TokenizerSource, vocabulary: number): Entries {
  const said = tokenizerToGguf(json, limits, vocabulary, path)
  const { bosToken, eosToken } = limits
  const entries: Entries = {
    model: text(said.model),
    pre: text(said.pre),
    tokens: texts(said.tokens),
    ...(said.scores && { scores: reals(said.scores) }),
    token_type: integers(said.tokenTypes),
    ...(said.merges && { merges: texts(said.merges) }),
    ...(bosToken !== undefined && { bos_token_id: count(bosToken) }),
    ...(eosToken !== undefined && { eos_token_id: count(eosToken) }),
    ...(said.unknownToken !== undefined && { unknown_token_id: count(said.unknownToken) }),
    add_bos_token: flag(said.addBos),
    add_eos_token: flag(said.addEos),
    ...(said.addSpacePrefix !== undefined && { add_space_prefix: flag(said.addSpacePrefix) }),
  }
  return Object.fromEntries(Object.entries(entries).map(([key, entry]) => [`tokenizer.ggml.${key}`, entry]))
}

function ropeTensor({ ropeFactors }: WrittenModel): WrittenTensor[] {
  if (!ropeFactors) return []
  const parts = () => [Float32Array.from(ropeFactors)]
  return [{ name: 'rope_freqs.weight', shape: [ropeFactors.length], type: 'F32', parts }]
}

/** The model's tensors as the file has them. @throws UserError for one that is missing or has no place */
function writtenTensors({ tensors, type, configPath }: GgufModel, family: Family, facts: WrittenModel) {
  const places = new Map(family.names.map(([gguf, checkpoint]) => [checkpoint, gguf]))
  const missing = new Set(expectedNames(family, facts))
  const written = tensors.map(({ name, shape, parts }): WrittenTensor => {
    const { template, layer } = templateOf(name)
    const place = places.get(template)
    if (!place || !missing.delete(name)) throw refusal(configPath, `tensor ${name} has no place in it`)
    const arrangement = family.arrangement(template, facts)
    return {
      name: place.replace('{n}', layer),
      shape,
      type: storedType(type, place, shape),
      parts: () => (arrangement ? arranged({ shape, parts }, arrangement) : parts(PART_ELEMENTS)),
    }
  })
  const [first] = missing
  if (first) throw refusal(configPath, `tensor ${first} is missing`)
  return written
}

/** Every tensor that a model of this config has. */
const expectedNames = ({ names }: Family, { layers, lacks }: WrittenModel): string[] =>
  names
    .filter(([gguf]) => !lacks(gguf))
    .flatMap(([, checkpoint]) =>
      checkpoint.includes('{n}')
        ? Array.from({ length: layers }, (_, layer) => checkpoint.replace('{n}', String(layer)))
        : [checkpoint],
    )

/** Vectors and learned positions stay float32, and rows that do not divide into blocks are F16, as llama.cpp has them. */
function storedType(type: 'F16' | 'Q8_0', place: string, shape: readonly number[]): WrittenTensor['type'] {
  if (shape.length === 1 || place.startsWith('position_embd')) return 'F32'
  return shape.at(-1)! % BLOCK_TYPES[type].elements === 0 ? type : 'F16'
}

/** A tensor that is stored in another order is needed as a whole. */
function* arranged({ shape, parts }: Omit<TensorSource, 'name'>, arrangement: Arrangement): Iterable<Float32Array> {
  const whole = new Float32Array(sizeOf(shape))
  let end = 0
  for (const part of parts(PART_ELEMENTS)) {
    whole.set(part, end)
    end += part.length
  }
  const stored = toStored(whole, shape, arrangement)
  for (let start = 0; start < stored.length; start += PART_ELEMENTS) yield stored.subarray(start, start + PART_ELEMENTS)
}

const refusal = (where: string, what: string) =>
  new UserError({ what: `the model cannot be written to GGUF: ${what}`, where, fix: 'export to safetensors' })
