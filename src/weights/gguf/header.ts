/**
 * @file The header of a GGUF file: counts, metadata by key, then name, shape, type and place of every tensor. A file comes
 * from anywhere, so nothing in it is believed before it is checked, as ggml's own reader checks it.
 *
 * `@huggingface/gguf` writes our metadata and is what the tests compare with, but does not read them: it takes zeros for what
 * lies behind the end of a file, loses a byte order mark at the beginning of a piece, and answers asynchronously.
 */
import { UserError } from '../../errors.ts'
import type { ByteSource } from './byte-source.ts'
import { type Cursor, damaged, openCursor, shown, thousands } from './cursor.ts'
import { checkLayout, readTensorInfo, type TensorInfo } from './tensor-infos.ts'

export type MetadataArray =
  | readonly string[]
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array

/** 64-bit numbers that are too large to be exact stay bigint; an array of booleans is bytes 0 and 1. */
export type MetadataValue = number | bigint | boolean | string | MetadataArray

export type Metadata = ReadonlyMap<string, MetadataValue>

export type GgufHeader = { metadata: Metadata; tensors: ReadonlyMap<string, TensorInfo> }

const MAGIC = 'GGUF'
const VERSIONS = [2, 3] // they differ in nothing that is read here
const DEFAULT_ALIGNMENT = 32
const MIN_ENTRY_BYTES = 8 + 4 + 1 // key length, type, a value of one byte
const MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8 // name length, dimensions, one of them, type, offset

/** @throws UserError naming what is damaged, unsupported or outside of the file */
export function readHeader(source: ByteSource): GgufHeader {
  const cursor = openCursor(source)
  checkMagic(cursor, source.path)
  const tensorCount = cursor.size('the number of tensors')
  const entryCount = cursor.size('the number of metadata entries')
  checkCount(source, cursor, 'metadata entries', entryCount, MIN_ENTRY_BYTES)
  const metadata = new Map<string, MetadataValue>()
  for (let i = 0; i < entryCount; i++) {
    const key = cursor.text(`metadata key ${i + 1}`)
    if (metadata.has(key)) throw damaged(source.path, `its metadata have ${shown(key)} twice`)
    metadata.set(key, readValue(cursor, source.path, shown(key)))
  }
  checkParts(metadata, source.path)

  checkCount(source, cursor, 'tensors', tensorCount, MIN_TENSOR_BYTES)
  const infos = new Map<string, TensorInfo>()
  for (let i = 0; i < tensorCount; i++) {
    const name = cursor.text(`the name of tensor ${i + 1}`)
    if (infos.has(name)) throw damaged(source.path, `it has tensor ${shown(name)} twice`)
    infos.set(name, readTensorInfo(cursor, source, shown(name)))
  }
  const alignment = alignmentOf(metadata, source.path)
  const dataStart = Math.ceil(cursor.position() / alignment) * alignment
  return { metadata, tensors: checkLayout(infos, { dataStart, alignment, size: source.size }, source.path) }
}

function checkMagic(cursor: Cursor, path: string): void {
  if (Buffer.from(cursor.take(4, 'the word GGUF')).toString('latin1') !== MAGIC)
    throw new UserError({ what: 'not a GGUF file', where: path, fix: 'give a model folder or a .gguf file' })
  const version = cursor.u32('the version')
  if (VERSIONS.includes(version)) return
  const isBigEndian = version !== 0 && (version & 0xffff) === 0
  throw new UserError({
    what: isBigEndian ? 'a GGUF file for big-endian machines' : `GGUF version ${thousands(version)} is not supported`,
    where: path,
    fix: `use a little-endian file of version ${VERSIONS.join(' or ')}`,
  })
}

function checkCount(source: ByteSource, cursor: Cursor, what: string, count: number, bytesEach: number): void {
  if (count <= cursor.room(bytesEach)) return
  throw damaged(
    source.path,
    `it claims ${thousands(count)} ${what}, more than ${thousands(source.size)} bytes can hold`,
  )
}

/** Metadata of one of several files: the others are needed too. */
function checkParts(metadata: Metadata, path: string): void {
  const parts = metadata.get('split.count')
  if (typeof parts !== 'number' || parts <= 1) return
  throw new UserError({
    what: `one of ${thousands(parts)} parts of a model`,
    where: path,
    fix: "join them with llama.cpp's llama-gguf-split --merge",
  })
}

function alignmentOf(metadata: Metadata, path: string): number {
  const alignment = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT
  const isPowerOfTwo = typeof alignment === 'number' && Number.isInteger(Math.log2(alignment)) && alignment >= 1
  if (isPowerOfTwo) return alignment
  throw damaged(path, `general.alignment is ${shown(String(alignment))}, not a power of two`)
}

/** What a scalar of each type takes, how it is read, and which array holds many of them; the index is the type's number. */
const SCALARS: readonly (undefined | Scalar)[] = [
  { bytes: 1, read: (view) => view.getUint8(0), array: Uint8Array },
  { bytes: 1, read: (view) => view.getInt8(0), array: Int8Array },
  { bytes: 2, read: (view) => view.getUint16(0, true), array: Uint16Array },
  { bytes: 2, read: (view) => view.getInt16(0, true), array: Int16Array },
  { bytes: 4, read: (view) => view.getUint32(0, true), array: Uint32Array },
  { bytes: 4, read: (view) => view.getInt32(0, true), array: Int32Array },
  { bytes: 4, read: (view) => view.getFloat32(0, true), array: Float32Array },
  { bytes: 1, read: (view) => view.getUint8(0) !== 0, array: Uint8Array },
  undefined, // text
  undefined, // an array
  { bytes: 8, read: (view) => exact(view.getBigUint64(0, true)), array: BigUint64Array },
  { bytes: 8, read: (view) => exact(view.getBigInt64(0, true)), array: BigInt64Array },
  { bytes: 8, read: (view) => view.getFloat64(0, true), array: Float64Array },
]
const TEXT = 8
const ARRAY = 9

type Scalar = {
  bytes: number
  read: (view: DataView) => number | bigint | boolean
  array: new (buffer: ArrayBuffer) => Exclude<MetadataArray, readonly string[]>
}

const exact = (value: bigint) =>
  value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER ? Number(value) : value

function readValue(cursor: Cursor, path: string, key: string): MetadataValue {
  const type = cursor.u32(`the type of ${key}`)
  if (type === TEXT) return cursor.text(key)
  if (type === ARRAY) return readArray(cursor, path, key)
  const { bytes, read } = scalarOf(type, path, key)
  const taken = cursor.take(bytes, key)
  return read(new DataView(taken.buffer, taken.byteOffset, bytes))
}

function readArray(cursor: Cursor, path: string, key: string): MetadataArray {
  const type = cursor.u32(`the type of ${key}`)
  const count = cursor.size(`the length of ${key}`)
  if (type === ARRAY) throw damaged(path, `${key} is an array of arrays`)
  if (type === TEXT) {
    const texts: string[] = []
    for (let i = 0; i < count; i++) texts.push(cursor.text(`${key}[${i}]`)) // grows with what is really there
    return texts
  }
  const { bytes, array } = scalarOf(type, path, key)
  return new array(cursor.take(count * bytes, key).slice().buffer as ArrayBuffer)
}

function scalarOf(type: number, path: string, key: string): Scalar {
  const scalar = SCALARS[type]
  if (scalar) return scalar
  throw damaged(path, `${key} has type ${thousands(type)}, which does not exist`)
}
