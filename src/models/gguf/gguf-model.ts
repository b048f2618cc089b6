/** @file A model in a GGUF file: the config and the weights that a checkpoint of the same model would have. */

import { UserError } from '../../errors.ts'
import { sizeOf } from '../../runtime/host-tensor.ts'
import { type GgufFile, openGguf } from '../../weights/gguf/gguf-file.ts'
import type { Weights } from '../../weights/open-weights.ts'
import { unknownTensor } from '../../weights/unknown-tensor.ts'
import { type Arrangement, toCheckpoint } from './arrangement.ts'
import { familyOfFile } from './families.ts'
import { type Family, HEAD, templateOf } from './family.ts'
import { keysOf } from './keys.ts'

const EMBEDDING = 'token_embd.weight'
const ROPE_FACTORS = 'rope_freqs.weight'
const COMPARED_AT_ONCE = 1 << 20 // elements

/** An open file without what belongs to its owner. */
type OpenGguf = Omit<GgufFile, 'close'>

/** What config.json of the model in this file would say. @throws UserError where it is not supported */
export function ggufConfig(file: OpenGguf): Record<string, unknown> {
  const family = familyOfFile(file.metadata.get('general.architecture'), file.path)
  const keys = keysOf(file.metadata, family.architecture, file.path)
  const layers = keys.count('block_count')
  const found = new Set([...file.tensors.keys()].map((name) => templateOf(name).layer).filter(Boolean)).size
  if (layers !== found)
    throw new UserError({
      what: `${family.architecture}.block_count is ${layers}, but there are tensors of ${found} layers`,
      where: file.path,
      fix: 'download or export it again',
    })
  const config = family.config(keys, {
    vocabulary: file.info(EMBEDDING).shape[0],
    tied: hasTiedHead(file, family),
    has: (name) => file.tensors.has(`blk.0.${name}`),
    ropeFactors: file.tensors.has(ROPE_FACTORS) ? wholeTensor(file, ROPE_FACTORS) : undefined,
  })
  const special = (kind: string) => {
    const id = file.metadata.get(`tokenizer.ggml.${kind}_token_id`)
    return typeof id === 'number' ? id : null
  }
  return { ...config, bos_token_id: special('bos'), eos_token_id: special('eos') }
}

/** Older converters wrote GPT-2's one matrix twice; other families have a head of their own wherever there is one. */
function hasTiedHead(file: OpenGguf, { architecture }: Family): boolean {
  if (!file.tensors.has(HEAD)) return true
  if (architecture !== 'gpt2') return false
  const [head, embedding] = [file.info(HEAD), file.info(EMBEDDING)]
  if (head.type !== embedding.type || `${head.shape}` !== `${embedding.shape}`) return false
  const others = file.parts(EMBEDDING, COMPARED_AT_ONCE)[Symbol.iterator]()
  for (const part of file.parts(HEAD, COMPARED_AT_ONCE)) {
    const other: Float32Array = others.next().value
    if (part.some((value, i) => !Object.is(value, other[i]))) return false
  }
  return true
}

/** Opens the weights under the names of checkpoints. @throws UserError for a file that is damaged or not supported */
export function openGgufWeights(path: string): Weights {
  const file = openGguf(path)
  try {
    return { ...ggufWeights(file), close: file.close }
  } catch (error) {
    file.close()
    throw error
  }
}

/** The same of a file that is already open. */
export function ggufWeights(file: OpenGguf): Omit<Weights, 'close'> {
  const tensors = checkpointTensors(file)
  const names = [...tensors.keys()]
  const find = (name: string) => {
    const tensor = tensors.get(name)
    if (tensor) return tensor
    throw unknownTensor(name, names, file.path)
  }
  const shapeOf = (name: string) => file.info(find(name).stored).shape
  return {
    path: file.path,
    names,
    totalBytes: [...tensors.values()].reduce((sum, { stored }) => sum + file.info(stored).bytes, 0),
    has: (name) => tensors.has(name),
    shapeOf,
    parts(name, elements) {
      const { stored, arrangement } = find(name)
      return arrangement ? cut(arranged(file, stored, arrangement), elements) : file.parts(stored, elements)
    },
    read(name) {
      const { stored, arrangement } = find(name)
      const data = arrangement ? arranged(file, stored, arrangement) : wholeTensor(file, stored)
      return { dtype: 'float32', shape: shapeOf(name), data }
    },
  }
}

type CheckpointTensor = { stored: string; arrangement: Arrangement | undefined }

/** Every tensor by its name in a checkpoint. @throws UserError for one that the architecture has no place for */
function checkpointTensors(file: OpenGguf): Map<string, CheckpointTensor> {
  const family = familyOfFile(file.metadata.get('general.architecture'), file.path)
  const keys = keysOf(file.metadata, family.architecture, file.path)
  const heads = keys.count('attention.head_count')
  const keyValueHeads = keys.optionalCount('attention.head_count_kv') ?? heads
  const places = new Map(family.names)
  const tensors = new Map<string, CheckpointTensor>()
  for (const stored of file.tensors.keys()) {
    if (stored === ROPE_FACTORS) continue // is in the config
    if (stored === HEAD && hasTiedHead(file, family)) continue // is the embedding
    const { template, layer } = templateOf(stored)
    const place = places.get(template)
    if (!place)
      throw new UserError({
        what: `tensor ${stored} has no place in a model of architecture ${family.architecture}`,
        where: file.path,
        fix: 'choose a model without it',
      })
    const arrangement = family.arrangement(place, { heads, keyValueHeads })
    checkRows(file, stored, arrangement)
    tensors.set(place.replace('{n}', layer), { stored, arrangement })
  }
  return tensors
}

/** Rows that are moved within heads must divide into them. */
function checkRows(file: OpenGguf, stored: string, arrangement: Arrangement | undefined): void {
  const [rows] = file.info(stored).shape
  if (!arrangement || rows % arrangement.divisor === 0) return
  throw new UserError({
    what: `the ${rows} rows of tensor ${stored} do not divide into the model's heads`,
    where: file.path,
    fix: 'download or export it again',
  })
}

function arranged(file: OpenGguf, stored: string, arrangement: Arrangement): Float32Array {
  return toCheckpoint(wholeTensor(file, stored), file.info(stored).shape, arrangement)
}

function wholeTensor(file: OpenGguf, name: string): Float32Array {
  const whole = new Float32Array(sizeOf(file.info(name).shape))
  let end = 0
  for (const part of file.parts(name, COMPARED_AT_ONCE)) {
    whole.set(part, end)
    end += part.length
  }
  return whole
}

function* cut(values: Float32Array, elements: number): Iterable<Float32Array> {
  for (let start = 0; start < values.length; start += elements) yield values.subarray(start, start + elements)
}
