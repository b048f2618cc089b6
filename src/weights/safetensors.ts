/**
 * @file Safetensors files, read by explicit byte ranges: opening one reads its header only, and each tensor is read
 * when it is asked for, so that a checkpoint larger than memory can be walked through tensor by tensor.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { UserError } from '../errors.ts'
import { fileProblem, writeWhole } from '../files.ts'
import { type DType, type HostTensor, type NamedTensors, sizeOf, type TypedArray } from '../runtime/host-tensor.ts'
import { widenBfloat16, widenFloat16 } from './dtypes.ts'
import {
  type Entry,
  formatHeader,
  type Header,
  headerLength,
  PREFIX_BYTES,
  parseHeader,
  STORED_TYPES,
  type StoredType,
} from './safetensors-header.ts'
import { unknownTensor } from './unknown-tensor.ts'

const CHUNK_BYTES = 1 << 24 // what is converted at a time; also far below the 2 GiB that one read may ask for

/** An open file. Whoever opened it closes it. */
export type SafetensorsFile = Header & {
  path: string
  /** A tensor to compute with: floats of 16 and 64 bits become float32. @throws UserError for an unknown name */
  read(name: string): HostTensor
  /**
   * The float32 values of a floating-point tensor in order, at most `elements` at a time; a part is overwritten when the
   * next is asked for. @throws UserError for an unknown name, and for whole numbers
   */
  parts(name: string, elements: number): Iterable<Float32Array>
  /** A tensor in its stored type, bit for bit. @throws UserError for an unknown name or a type without an array */
  readStored(name: string): HostTensor
  close(): void
}

/** Opens a file and checks its header. @throws UserError for a file that is absent, truncated or malformed */
export function openSafetensors(path: string): SafetensorsFile {
  const file = openFile(path)
  try {
    const header = readHeader(file, path)
    let open = true
    const reading =
      <Asked extends unknown[], Read>(read: (file: number, entry: Entry, where: string, ...asked: Asked) => Read) =>
      (name: string, ...asked: Asked): Read => {
        if (!open) throw new Error(`${path} was closed before ${name} was read`) // the number may be another file's now
        return read(file, entryOf(header, name, path), `${path}, tensor ${name}`, ...asked)
      }
    const close = () => {
      if (open) closeSync(file)
      open = false
    }
    return {
      path,
      ...header,
      read: reading(readWidened),
      parts: reading(readParts),
      readStored: reading(readStored),
      close,
    }
  } catch (error) {
    closeSync(file)
    throw error
  }
}

function openFile(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (error) {
    throw fileProblem(error, path)
  }
}

function readHeader(file: number, path: string): Header {
  const stat = fstatSync(file)
  if (!stat.isFile())
    throw new UserError({ what: 'not a file', where: path, fix: 'give the path of a safetensors file' })
  if (stat.size < PREFIX_BYTES) {
    throw new UserError({ what: `only ${stat.size} bytes`, where: path, fix: 'download or export it again' })
  }
  const length = headerLength(readBytes(file, new Uint8Array(PREFIX_BYTES), 0, path), stat.size, path)
  return parseHeader(readBytes(file, new Uint8Array(length), PREFIX_BYTES, path), stat.size, path)
}

function entryOf({ entries }: Header, name: string, path: string): Entry {
  const entry = entries.get(name)
  if (entry) return entry
  throw unknownTensor(name, [...entries.keys()], path)
}

/** How many bytes of a stored type become float32 values. */
type Widen = (bytes: Uint8Array<ArrayBuffer>, values: Float32Array) => void

const WIDENERS: Partial<Record<StoredType, Widen>> = {
  F32: ({ buffer, byteLength }, values) => values.set(new Float32Array(buffer, 0, byteLength / 4)),
  F16: ({ buffer, byteLength }, values) => widenFloat16(new Uint16Array(buffer, 0, byteLength / 2), values),
  BF16: ({ buffer, byteLength }, values) => widenBfloat16(new Uint16Array(buffer, 0, byteLength / 2), values),
  F64: ({ buffer, byteLength }, values) => values.set(new Float64Array(buffer, 0, byteLength / 8)),
}

function readWidened(file: number, entry: Entry, where: string): HostTensor {
  if (entry.dtype === 'F32' || !WIDENERS[entry.dtype]) return readStored(file, entry, where)
  const data = new Float32Array(sizeOf(entry.shape))
  let done = 0
  for (const part of readParts(file, entry, where, CHUNK_BYTES / STORED_TYPES[entry.dtype].bytes)) {
    data.set(part, done)
    done += part.length
  }
  return { dtype: 'float32', shape: entry.shape, data }
}

function* readParts(file: number, entry: Entry, where: string, elements: number): Generator<Float32Array> {
  const widen = WIDENERS[entry.dtype]
  if (!widen) throw new UserError({ what: `type ${entry.dtype} is no floating-point type`, where })
  const width = STORED_TYPES[entry.dtype].bytes
  const count = entry.bytes / width
  const bytes = new Uint8Array(Math.min(elements, count) * width)
  const values = new Float32Array(Math.min(elements, count))
  for (let start = 0; start < count; start += elements) {
    const here = Math.min(elements, count - start)
    widen(readBytes(file, bytes.subarray(0, here * width), entry.offset + start * width, where), values)
    yield values.subarray(0, here)
  }
}

/** The array that holds each type. Files are little-endian, as are all processors that onnxruntime-node runs on. */
const ARRAYS: Record<DType, new (buffer: ArrayBuffer) => TypedArray> = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
}

function readStored(file: number, entry: Entry, where: string): HostTensor {
  const { dtype } = STORED_TYPES[entry.dtype]
  if (!dtype)
    throw new UserError({ what: `type ${entry.dtype} is not supported`, where, fix: 'convert it to F32 or F16' })
  const buffer = new ArrayBuffer(entry.bytes)
  for (let start = 0; start < entry.bytes; start += CHUNK_BYTES) {
    const bytes = new Uint8Array(buffer, start, Math.min(CHUNK_BYTES, entry.bytes - start))
    readBytes(file, bytes, entry.offset + start, where)
  }
  return { dtype, shape: entry.shape, data: new ARRAYS[dtype](buffer) }
}

/** Fills `bytes` from a position in the file. */
function readBytes<T extends Uint8Array>(file: number, bytes: T, position: number, where: string): T {
  for (let done = 0; done < bytes.length; ) {
    const count = readSync(file, bytes, done, bytes.length - done, position + done)
    if (count === 0) throw new UserError({ what: 'the file became shorter while it was read', where }, 1)
    done += count
  }
  return bytes
}

/**
 * Writes tensors to a file, which appears whole or not at all. The widest types come first, each type by name: every
 * tensor then begins on a boundary of its type, and equal tensors give equal files.
 */
export function writeSafetensors(
  path: string,
  tensors: NamedTensors,
  metadata: Readonly<Record<string, string>> = { format: 'pt' }, // transformers refuses a file that does not say so
): void {
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    if (sizeOf(shape) !== data.length) throw new Error(`${name}: ${data.length} values for shape [${shape.join(', ')}]`)
  }
  const ordered = Object.entries(tensors).sort(
    ([nameA, { data: a }], [nameB, { data: b }]) =>
      b.BYTES_PER_ELEMENT - a.BYTES_PER_ELEMENT || (nameA < nameB ? -1 : 1),
  )
  const bytes = ordered.map(([, { data }]) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  writeWhole(path, [formatHeader(ordered, metadata), ...bytes])
}
