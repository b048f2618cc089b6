/**
 * @file Damaged headers against the readers of weights: whatever a file says, it is read or refused with a `UserError`,
 * nothing outside of it is read, and memory stays within what a file of its size can need. `npm run fuzz` tries a hundred
 * thousand of each; `npm test` tries fewer.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { UserError } from '../src/errors.ts'
import { architectures } from '../src/models/architectures.ts'
import { ggufConfig, ggufWeights } from '../src/models/gguf/gguf-model.ts'
import { writeGguf } from '../src/models/gguf/write-gguf.ts'
import { modelFiles } from '../src/models/model-files.ts'
import { seededRandom } from '../src/random.ts'
import { tokenizerFromGguf } from '../src/tokenizer/gguf/from-gguf.ts'
import { createTokenizer } from '../src/tokenizer/tokenizer.ts'
import type { ByteSource } from '../src/weights/gguf/byte-source.ts'
import { readGguf } from '../src/weights/gguf/gguf-file.ts'
import { headerLength, PREFIX_BYTES, parseHeader } from '../src/weights/safetensors-header.ts'
import { mutate } from './mutate.ts'

const MAX_BYTES_ALLOCATED = 32 << 20 // for files of some 20 KB; the reader's window alone is 1 MiB

export type FuzzResult = { refused: number; read: number; largestAllocation: number }

/** Mutates files and hands each to a reader. @throws whatever the reader throws that is no refusal, with the case's number */
export function fuzz(
  files: readonly Uint8Array[],
  read: (bytes: Buffer) => void,
  cases: number,
  seed: number,
): FuzzResult {
  const random = seededRandom(seed)
  const result = { refused: 0, read: 0, largestAllocation: 0 }
  for (let i = 0; i < cases; i++) {
    const draws = random.at('damage', i)
    const mutated = mutate(files[draws.integer(files.length)], draws)
    const before = process.memoryUsage().arrayBuffers
    try {
      read(mutated)
      result.read++
    } catch (error) {
      if (!(error instanceof UserError)) throw new Error(`case ${i} of seed ${seed} is no refusal`, { cause: error })
      result.refused++
    }
    const allocated = process.memoryUsage().arrayBuffers - before
    result.largestAllocation = Math.max(result.largestAllocation, allocated)
    if (allocated > MAX_BYTES_ALLOCATED) throw new Error(`case ${i} of seed ${seed} takes ${allocated} bytes`)
  }
  return result
}

/** Bytes in memory that stand for a file, and for nothing around it. */
export const sourceOf = (bytes: Uint8Array): ByteSource => ({
  path: 'damaged.gguf',
  size: bytes.length,
  read(into, position) {
    if (!(position >= 0 && position + into.length <= bytes.length))
      throw new Error(`read of ${into.length} bytes at ${position} in a file of ${bytes.length}`)
    into.set(bytes.subarray(position, position + into.length))
  },
})

/** Everything that is done with a GGUF file before a model runs. */
export function readWholeGguf(bytes: Uint8Array): void {
  const file = readGguf(sourceOf(bytes))
  const config = ggufConfig(file)
  architectures[config.model_type as string].describe(config, file.path)
  createTokenizer(tokenizerFromGguf(file.metadata, file.path))
  const weights = ggufWeights(file)
  for (const name of weights.names) {
    if (weights.shapeOf(name).some((extent) => extent < 1))
      throw new Error(`${name} has shape ${weights.shapeOf(name)}`)
    for (const part of weights.parts(name, 512)) if (!part.length) throw new Error(`${name} has an empty part`)
  }
}

/** The header of a safetensors file, as opening one reads it, and the place of every tensor. */
export function readSafetensorsHeader(bytes: Buffer): void {
  if (bytes.length < PREFIX_BYTES) throw new UserError({ what: 'as short files are refused when they are opened' })
  const length = headerLength(bytes.subarray(0, PREFIX_BYTES), bytes.length, 'damaged.safetensors')
  const json = bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + length)
  for (const [name, { offset, bytes: size }] of parseHeader(json, bytes.length, 'damaged.safetensors').entries)
    if (!(offset >= PREFIX_BYTES + length && size >= 0 && offset + size <= bytes.length))
      throw new Error(`${name} lies at ${offset} with ${size} bytes in a file of ${bytes.length}`)
}

const golden = (name: string) => new URL(`golden/checkpoints/${name}`, import.meta.url).pathname

/** Small whole files of each kind of tokenizer and of tensors. */
export function wholeGgufs(): Uint8Array[] {
  const folder = mkdtempSync(join(tmpdir(), 'fuzz-'))
  const embedded = modelFiles(new URL('../models/stories260K', import.meta.url).pathname).tokenizerSource()
  const vocab = Object.fromEntries(Array.from({ length: 131 }, (_, id) => [`Ā${String.fromCodePoint(256 + id)}`, id]))
  const pre_tokenizer = { type: 'ByteLevel', add_prefix_space: false, use_regex: true }
  const byteLevel = {
    path: 'tokenizer.json',
    limits: { bosToken: 0, eosToken: 1 },
    json: {
      model: { type: 'BPE' as const, vocab, merges: [['Ā', 'Ā']] },
      added_tokens: [{ id: 0, content: '<s>', special: true }],
      decoder: { type: 'ByteLevel' },
      normalizer: null,
      pre_tokenizer,
      post_processor: null,
    },
  }
  const small = Object.entries(embedded.json.model.vocab).filter(([, id]) => id < 131)
  const pieces = new Set(small.map(([piece]) => piece))
  const merges = embedded.json.model.merges.filter((pair) => pieces.has((pair as string[]).join('')))
  const model = { ...embedded.json.model, vocab: Object.fromEntries(small), merges }
  const sentencePiece = { ...embedded, json: { ...embedded.json, model } }
  const files = (['llama_rope_scaled', 'gpt2', 'qwen3', 'gpt_neox'] as const).map((name, i) => {
    const { config, configPath, openWeights } = modelFiles(golden(name))
    const weights = openWeights()
    const path = join(folder, `${name}.gguf`)
    writeGguf(path, {
      config: config(),
      configPath,
      tokenizer: i % 2 ? byteLevel : sentencePiece,
      type: i % 2 ? 'F16' : 'Q8_0',
      tensors: weights.names.map((tensor) => ({
        name: tensor,
        shape: weights.shapeOf(tensor),
        parts: (elements) => weights.parts(tensor, elements),
      })),
    })
    weights.close()
    return readFileSync(path)
  })
  rmSync(folder, { recursive: true })
  return files
}

/** A header with several types, and nothing but zeros behind it. */
export function wholeSafetensors(): Uint8Array[] {
  const entries = {
    __metadata__: { format: 'pt' },
    a: { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] },
    'b.weight': { dtype: 'BF16', shape: [4], data_offsets: [24, 32] },
    c: { dtype: 'I64', shape: [], data_offsets: [32, 40] },
    empty: { dtype: 'U8', shape: [0], data_offsets: [40, 40] },
  }
  const json = Buffer.from(JSON.stringify(entries))
  const prefix = Buffer.alloc(PREFIX_BYTES)
  prefix.writeBigUInt64LE(BigInt(json.length))
  return [Buffer.concat([prefix, json, Buffer.alloc(40)]), readFileSync(join(golden('gpt2'), 'model.safetensors'))]
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const cases = Number(process.argv[2] ?? 100_000)
  for (const [name, files, read] of [
    ['GGUF', wholeGgufs(), readWholeGguf],
    ['safetensors', wholeSafetensors(), readSafetensorsHeader],
  ] as const) {
    const started = performance.now()
    const { refused, read: whole, largestAllocation } = fuzz(files, read, cases, 1)
    const seconds = ((performance.now() - started) / 1000).toFixed(0)
    console.log(
      `${name}: ${cases} damaged files, ${refused} refused, ${whole} read; at most ${(largestAllocation / 2 ** 20).toFixed(1)} MiB at once; ${seconds} s`,
    )
  }
}
