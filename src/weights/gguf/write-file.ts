/** @file Writes a GGUF file, tensor by tensor: never more of it in memory than one part. */
import { type GGUFTypedMetadata, GGUFValueType, serializeGgufMetadata } from '@huggingface/gguf'
import { UserError } from '../../errors.ts'
import { writeWhole } from '../../files.ts'
import { sizeOf } from '../../runtime/host-tensor.ts'
import { BLOCK_TYPES, bytesOfBlocks } from './block-types.ts'
import { encodeBlocks, type WrittenType } from './encode.ts'
import type { Entries, Entry } from './entries.ts'

/** A tensor to be written: its shape as a row-major array, its values in order, in parts of whole blocks. */
export type WrittenTensor = {
  name: string
  shape: readonly number[]
  type: WrittenType
  parts: () => Iterable<Float32Array>
}

const ALIGNMENT = 32 // what readers assume where a file does not say

/**
 * The file appears whole or not at all.
 * @throws UserError where a type cannot hold a tensor's values, or the system refuses
 */
export function writeGgufFile(path: string, entries: Entries, tensors: readonly WrittenTensor[]): void {
  writeWhole(path, bytesOfFile(path, entries, tensors))
}

function* bytesOfFile(path: string, entries: Entries, tensors: readonly WrittenTensor[]): Iterable<Uint8Array> {
  const header = Buffer.concat([formatMetadata(entries, tensors.length), formatTensorInfos(tensors)])
  yield padded(header)
  for (const { name, shape, type, parts } of tensors) {
    let elements = 0
    for (const part of parts()) {
      const bytes = encodeBlocks(type, part)
      if (!bytes)
        throw new UserError({
          what: `tensor ${name} has values that ${type} cannot hold: none above 65,504 in F16, and no NaN`,
          where: path,
          fix: 'export to safetensors',
        })
      elements += part.length
      yield bytes
    }
    if (elements !== sizeOf(shape)) throw new Error(`${name}: ${elements} values for shape [${shape}]`)
    yield new Uint8Array(padding(bytesOfBlocks(type, elements)))
  }
}

const padding = (bytes: number) => (ALIGNMENT - (bytes % ALIGNMENT)) % ALIGNMENT

const padded = (bytes: Uint8Array) => Buffer.concat([bytes, new Uint8Array(padding(bytes.length))])

const VALUE_TYPES: Record<Entry['kind'], { type: GGUFValueType; subType?: GGUFValueType }> = {
  count: { type: GGUFValueType.UINT32 },
  real: { type: GGUFValueType.FLOAT32 },
  flag: { type: GGUFValueType.BOOL },
  text: { type: GGUFValueType.STRING },
  texts: { type: GGUFValueType.ARRAY, subType: GGUFValueType.STRING },
  reals: { type: GGUFValueType.ARRAY, subType: GGUFValueType.FLOAT32 },
  integers: { type: GGUFValueType.ARRAY, subType: GGUFValueType.INT32 },
}

function formatMetadata(entries: Entries, tensors: number): Uint8Array {
  const typed = Object.entries(entries).map(([key, { kind, value }]) => [key, { ...VALUE_TYPES[kind], value }])
  const counts = {
    version: { value: 3, type: GGUFValueType.UINT32 },
    tensor_count: { value: BigInt(tensors), type: GGUFValueType.UINT64 },
    kv_count: { value: BigInt(typed.length), type: GGUFValueType.UINT64 },
  }
  const metadata = { ...counts, ...Object.fromEntries(typed) } as GGUFTypedMetadata
  return serializeGgufMetadata(metadata, { alignment: 1 }) // tensor infos follow without a gap
}

/** Name, shape with the fastest axis first, type and place of every tensor. */
function formatTensorInfos(tensors: readonly WrittenTensor[]): Uint8Array {
  let offset = 0
  const infos = tensors.map(({ name, shape, type }) => {
    const text = Buffer.from(name)
    const info = Buffer.alloc(8 + text.length + 4 + 8 * shape.length + 4 + 8)
    info.writeBigUInt64LE(BigInt(text.length), 0)
    text.copy(info, 8)
    let at = info.writeUInt32LE(shape.length, 8 + text.length)
    for (const extent of shape.toReversed()) at = info.writeBigUInt64LE(BigInt(extent), at)
    at = info.writeUInt32LE(BLOCK_TYPES[type].id, at)
    info.writeBigUInt64LE(BigInt(offset), at)
    const bytes = bytesOfBlocks(type, sizeOf(shape))
    offset += bytes + padding(bytes)
    return info
  })
  return Buffer.concat(infos)
}
