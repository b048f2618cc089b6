/**
 * @file The header of a safetensors file: 8 bytes of length, that many bytes of JSON, then the tensors. A file comes
 * from anywhere, so nothing in it is believed before it is checked; its entries must fill the data, without overlaps.
 */
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { type DType, sizeOf } from '../runtime/host-tensor.ts'

/** The length prefix of a header. */
export const PREFIX_BYTES = 8

/** A larger header is a damaged or hostile file: that of a model with 10,000 tensors has about 1 MB. */
export const MAX_HEADER_BYTES = 100_000_000

/** What each stored type takes, and which arrays hold it here; types without arrays are known but not read. */
export const STORED_TYPES = {
  F64: { bytes: 8, dtype: 'float64' },
  F32: { bytes: 4, dtype: 'float32' },
  F16: { bytes: 2, dtype: 'float16' },
  BF16: { bytes: 2, dtype: undefined },
  F8_E4M3: { bytes: 1, dtype: undefined },
  F8_E5M2: { bytes: 1, dtype: undefined },
  I64: { bytes: 8, dtype: 'int64' },
  U64: { bytes: 8, dtype: undefined },
  I32: { bytes: 4, dtype: 'int32' },
  U32: { bytes: 4, dtype: undefined },
  I16: { bytes: 2, dtype: undefined },
  U16: { bytes: 2, dtype: undefined },
  I8: { bytes: 1, dtype: undefined },
  U8: { bytes: 1, dtype: 'uint8' },
  BOOL: { bytes: 1, dtype: 'bool' },
} as const satisfies Record<string, { bytes: number; dtype: DType | undefined }>

export type StoredType = keyof typeof STORED_TYPES

/** Where a tensor lies: `offset` and `bytes` count bytes, the offset from the beginning of the file. */
export type Entry = { dtype: StoredType; shape: readonly number[]; offset: number; bytes: number }

/** What a header says. `metadata` is free text by key; PyTorch's writers put `format: 'pt'` there. */
export type Header = { metadata: Readonly<Record<string, string>>; entries: ReadonlyMap<string, Entry> }

const extent = z.int().nonnegative()
const entrySchema = z.strictObject({
  dtype: z.enum(Object.keys(STORED_TYPES) as StoredType[]),
  shape: z.array(extent),
  data_offsets: z.tuple([extent, extent]),
})
const metadataSchema = z.record(z.string(), z.string())

/** The length of the header, from the first 8 bytes. @throws UserError where there is no room for it in the file */
export function headerLength(prefix: Uint8Array, fileBytes: number, path: string): number {
  const length = Buffer.from(prefix).readBigUInt64LE()
  const room = fileBytes - PREFIX_BYTES
  if (length > 0n && length <= Math.min(room, MAX_HEADER_BYTES)) return Number(length)
  const limits = `the file has ${thousands(fileBytes)}, and no header has more than ${thousands(MAX_HEADER_BYTES)}`
  throw damaged(path, `its header claims ${length.toLocaleString('en')} bytes; ${limits}`)
}

/**
 * What the JSON of a header says of its tensors.
 * @param json  the bytes after the length
 * @throws UserError naming the tensor that has an unknown type, a wrong size or a place outside of the file
 */
export function parseHeader(json: Uint8Array, fileBytes: number, path: string): Header {
  const { __metadata__: metadata = {}, ...tensors } = parseObject(json, path)
  const parsedMetadata = metadataSchema.safeParse(metadata)
  if (!parsedMetadata.success) throw damaged(path, 'its metadata is not text by name')
  const dataStart = PREFIX_BYTES + json.length
  const entries = Object.entries(tensors).map(
    ([name, entry]) => [name, parseEntry(entry, dataStart, name, path)] as const,
  )
  checkLayout(entries, dataStart, fileBytes, path)
  return { metadata: parsedMetadata.data, entries: new Map(entries) }
}

function parseObject(json: Uint8Array, path: string): Record<string, unknown> {
  try {
    const header: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json))
    return z.record(z.string(), z.unknown()).parse(header)
  } catch {
    throw damaged(path, 'its header is not a JSON object')
  }
}

function parseEntry(entry: unknown, dataStart: number, name: string, path: string): Entry {
  const parsed = entrySchema.safeParse(entry)
  if (!parsed.success) {
    const { path: key, message } = parsed.error.issues[0]
    throw damaged(path, `tensor ${name}: ${key.join('.')}: ${message}`)
  }
  const { dtype, shape, data_offsets } = parsed.data
  const [begin, end] = data_offsets
  const bytes = sizeOf(shape) * STORED_TYPES[dtype].bytes
  if (bytes !== end - begin) {
    const claim = `${dtype} [${shape.join(', ')}] takes ${thousands(bytes)} bytes`
    throw damaged(path, `tensor ${name}: ${claim}, its place has ${thousands(end - begin)}`)
  }
  return { dtype, shape, offset: dataStart + begin, bytes }
}

/** Tensors in the order of their places must follow each other from the header to the end of the file. */
function checkLayout(entries: (readonly [string, Entry])[], dataStart: number, fileBytes: number, path: string): void {
  const inOrder = entries.toSorted(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes) // empty tensors first
  let end = dataStart
  for (const [name, { offset, bytes }] of inOrder) {
    if (offset < end)
      throw damaged(path, `tensor ${name} overlaps the one before it by ${thousands(end - offset)} bytes`)
    if (offset > end) throw damaged(path, `there is a hole of ${thousands(offset - end)} bytes before tensor ${name}`)
    end = offset + bytes
  }
  if (end > fileBytes) throw damaged(path, `truncated: ${thousands(fileBytes)} bytes of ${thousands(end)}`)
  if (end < fileBytes) throw damaged(path, `${thousands(fileBytes - end)} bytes follow the last tensor`)
}

/** What a header says of a tensor apart from its place. */
export type TensorInfo = { dtype: StoredType; shape: readonly number[]; bytes: number }

/**
 * The prefix and header of a file that holds these tensors one after the other, in the order given. The header is
 * padded to 8 bytes, so that the data begin on a boundary of every type.
 */
export function formatHeader(
  tensors: readonly (readonly [name: string, tensor: TensorInfo])[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  let end = 0
  const entries = tensors.map(([name, { dtype, shape, bytes }]) => {
    const begin = end
    end += bytes
    return [name, { dtype, shape, data_offsets: [begin, end] }] as const
  })
  const json = Buffer.from(JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) }))
  const padded = Buffer.alloc(PREFIX_BYTES + Math.ceil(json.length / 8) * 8, ' ')
  padded.writeBigUInt64LE(BigInt(padded.length - PREFIX_BYTES))
  padded.set(json, PREFIX_BYTES)
  return padded
}

/** The stored type that holds arrays of ours. */
export const storedTypeOf = (dtype: DType): StoredType =>
  (Object.keys(STORED_TYPES) as StoredType[]).find((stored) => STORED_TYPES[stored].dtype === dtype)!

const damaged = (path: string, what: string) =>
  new UserError({ what: `not a whole safetensors file: ${what}`, where: path, fix: 'download or export it again' })

const thousands = (count: number) => count.toLocaleString('en')
