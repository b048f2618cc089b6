/**
 * @file What sentences mean, as vectors: any sentence-transformers model in ONNX form (a folder with tokenizer.json and
 * onnx/model.onnx or a quantized one, as `@huggingface/transformers` reads it), run by the runtime and by Hugging Face's
 * tokenizer library, which are here already. The vectors are those of that library's feature extraction with mean pooling
 * and normalisation, without its hundreds of megabytes.
 *
 * Each sentence is run alone: a quantized model scales its activations by all that it is given, so that in a batch a
 * sentence's vector would depend on its neighbours.
 */
import { existsSync, readFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import { Tokenizer } from '@huggingface/tokenizers'
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { contentsOf, readJson } from '../files.ts'
import { type HostTensor, int64 } from '../runtime/host-tensor.ts'
import { openRuntime, type RuntimeOptions } from '../runtime/node.ts'
import type { Program } from '../runtime/session.ts'
import { type GraphProto, ModelProtoSchema } from '../tensor/onnx-proto.ts'
import { ENCODER_FILES, POOLING_FILES } from '../weights/hub/resolve-encoder.ts'

export type SentenceEncoder = {
  readonly name: string
  /** [texts][width], of unit length: their dot product is the cosine of their angle. */
  embed(texts: readonly string[]): Promise<Float32Array[]>
  /** [texts][tokens][width], of unit length, without the special tokens; [texts][0] for an empty text. */
  embedTokens(texts: readonly string[]): Promise<Float32Array[][]>
  dispose(): Promise<void>
}

export type SentenceEncoderOptions = RuntimeOptions & {
  /** The ONNX file within the folder; default: the quantized one, or else the full one. */
  file?: string
}

const configSchema = z.looseObject({ max_position_embeddings: z.int().positive().default(512) })
const poolingSchema = z.looseObject({
  pooling_mode_cls_token: z.boolean().default(false),
  pooling_mode_mean_tokens: z.boolean().default(false),
})
const tokenizerSchema = z.looseObject({
  added_tokens: z.array(z.looseObject({ id: z.int().nonnegative(), special: z.boolean().default(false) })),
})

/** Opens an encoder. Whoever opened it disposes it. @throws UserError for a folder that is no such model */
export async function openSentenceEncoder(
  folder: string,
  { file, threads }: SentenceEncoderOptions = {},
): Promise<SentenceEncoder> {
  const path = onnxFile(folder, file)
  const { max_position_embeddings: contextLength } = readJson(join(folder, 'config.json'), configSchema)
  const pool = poolingOf(folder)
  const cut = tokenCutter(folder, contextLength)
  const program = readProgram(path)
  const runtime = openRuntime({ threads })
  const session = await runtime.open(program).catch(async (error: Error) => {
    await runtime.dispose()
    throw new UserError({ what: `cannot be run: ${error.message}`, where: path, fix: 'give another ONNX file' })
  })

  /** [tokens][width] of one text, and which of its tokens are special. */
  const run = async (text: string) => {
    const { ids, isSpecial } = cut(text)
    const shape = [1, ids.length]
    const { outputs } = await session.run({
      input_ids: int64(shape, ids),
      attention_mask: int64(
        shape,
        ids.map(() => 1),
      ),
      token_type_ids: int64(
        shape,
        ids.map(() => 0),
      ),
    })
    return { vectors: rowsOf(outputs[program.outputs[0]]), isSpecial }
  }
  /** In order, each distinct text once. */
  const each = async <Result>(texts: readonly string[], of: (text: string) => Promise<Result>): Promise<Result[]> => {
    const known = new Map<string, Promise<Result>>()
    for (const text of texts) if (!known.has(text)) known.set(text, of(text))
    return Promise.all(texts.map((text) => known.get(text)!))
  }
  return {
    name: basename(resolve(folder)),
    embed: (texts) => each(texts, async (text) => unit(pool((await run(text)).vectors))),
    embedTokens: (texts) =>
      each(texts, async (text) => {
        const { vectors, isSpecial } = await run(text)
        return vectors.filter((_, i) => !isSpecial[i]).map(unit)
      }),
    dispose: () => runtime.dispose(),
  }
}

function onnxFile(folder: string, file?: string): string {
  const found = (file === undefined ? ENCODER_FILES : [file])
    .map((name) => join(folder, name))
    .find((path) => existsSync(path))
  if (found) return found
  throw new UserError({
    what: `no sentence encoder here: there is no ${file ?? ENCODER_FILES.join(' or ')}`,
    where: folder,
    fix: `it holds ${contentsOf(folder)}; give a sentence-transformers model in ONNX form`,
  })
}

/** How a sentence's vector comes from those of its tokens; the mean, unless the folder says the first token's. */
function poolingOf(folder: string): (vectors: readonly Float32Array[]) => Float32Array {
  const path = POOLING_FILES.map((name) => join(folder, name)).find((path) => existsSync(path))
  if (path === undefined) return meanOf
  const { pooling_mode_cls_token: first, pooling_mode_mean_tokens: mean } = readJson(path, poolingSchema)
  if (first === mean)
    throw new UserError({
      what: 'it pools neither by the mean of tokens nor by the first one',
      where: path,
      fix: 'use another encoder',
    })
  return first ? ([vector]) => vector : meanOf
}

/** Cuts a text into tokens between the special ones of the model's template, and drops what the context does not hold. */
function tokenCutter(folder: string, contextLength: number) {
  const json = readJson(join(folder, 'tokenizer.json'), tokenizerSchema)
  const tokenizer = new Tokenizer(json, {})
  const special = new Set(json.added_tokens.filter((token) => token.special).map(({ id }) => id))
  return (text: string): { ids: number[]; isSpecial: boolean[] } => {
    const all = tokenizer.encode(text).ids
    const ids: number[] = all.length > contextLength ? [...all.slice(0, contextLength - 1), all[all.length - 1]] : all
    return { ids, isSpecial: ids.map((id) => special.has(id)) }
  }
}

/** The ONNX file as a program: its inputs, whole numbers [texts, tokens] all, and the vectors of its tokens. */
function readProgram(path: string): Program {
  const bytes = readFileSync(path)
  const graph = graphOf(bytes, path)
  const weights = new Set(graph.initializer.map(({ name }) => name)) // older files list these as inputs too
  const inputs = graph.input.map(({ name }) => name).filter((name) => !weights.has(name))
  const known = ['input_ids', 'attention_mask', 'token_type_ids']
  const stranger = inputs.find((name) => !known.includes(name))
  const output = graph.output.find(({ type }) => rankOf(type) === 3)
  if (stranger !== undefined || !inputs.includes('input_ids') || !output)
    throw new UserError({
      what: `no encoder of text: it maps ${inputs.join(', ')} to ${graph.output.map(({ name }) => name).join(', ')}`,
      where: path,
      fix: `give one that maps ${known.join(', ')} to the vectors of all tokens`,
    })
  const whole = { dtype: 'int64' as const, shape: ['texts', 'tokens'] }
  return {
    name: basename(path),
    bytes,
    inputs: Object.fromEntries(inputs.map((name) => [name, whole])),
    outputs: [output.name],
  }
}

function graphOf(bytes: Uint8Array, path: string): GraphProto {
  try {
    const { graph } = fromBinary(ModelProtoSchema, bytes)
    if (graph) return graph
  } catch {
    // the same complaint
  }
  throw new UserError({ what: 'no ONNX model', where: path, fix: 'get the file again' })
}

type ValueType = GraphProto['output'][number]['type']

const rankOf = (type: ValueType) =>
  type?.value.case === 'tensorType' ? (type.value.value.shape?.dim.length ?? 0) : undefined

/** [1, tokens, width] → [tokens][width]. */
function rowsOf({ data, shape: [, tokens, width] }: HostTensor): Float32Array[] {
  return Array.from({ length: tokens }, (_, i) => (data as Float32Array).subarray(i * width, (i + 1) * width))
}

function meanOf(vectors: readonly Float32Array[]): Float32Array {
  const mean = new Float32Array(vectors[0].length)
  for (const vector of vectors) for (let k = 0; k < mean.length; k++) mean[k] += vector[k] / vectors.length
  return mean
}

function unit(vector: Float32Array): Float32Array {
  const norm = Math.hypot(...vector)
  return vector.map((value) => value / norm)
}
