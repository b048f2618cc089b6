/**
 * @file An ONNX model on disk. Large ones keep their weights beside it in files that are mapped, not parsed, each below
 * the size that browsers can hold in one buffer; a model file itself cannot exceed 2 GB.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { writeWhole } from '../files.ts'
import { type DType, type HostTensor, sizeOf, type TypedArray } from '../runtime/host-tensor.ts'
import { initializerOf } from '../tensor/onnx.ts'
import {
  TensorProto_DataLocation as DataLocation,
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
} from '../tensor/onnx-proto.ts'

/** A value that a model brings along, made when its turn comes. */
export type Initializer = Pick<HostTensor, 'dtype' | 'shape'> & { name: string; load: () => HostTensor }

export type FileLimits = {
  /** Up to so many bytes of weights are part of the model file. */
  inlineBytes: number
  /** Bytes of each file beside it; a larger tensor has one of its own. */
  dataBytes: number
}

const LIMITS: FileLimits = { inlineBytes: 64 << 20, dataBytes: 2_000_000_000 }
const ALIGNMENT = 64

/** The arrays that weights are stored in. */
const ARRAYS = { float32: Float32Array, float16: Uint16Array, uint8: Uint8Array } as const satisfies Partial<
  Record<DType, new (buffer: ArrayBuffer) => TypedArray>
>
type StoredDType = keyof typeof ARRAYS

const bytesOf = ({ data }: HostTensor) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
const byteLength = ({ dtype, shape }: Initializer) => sizeOf(shape) * ARRAYS[dtype as StoredDType].BYTES_PER_ELEMENT

/** The n-th file of weights beside a model file, as transformers.js looks for it. */
const dataFile = (path: string, n: number) => `${path}_data${n === 0 ? '' : `_${n}`}`

/** Writes a model with its weights. @returns the number of files beside it */
export function writeOnnx(
  path: string,
  model: ModelProto,
  initializers: readonly Initializer[],
  { inlineBytes, dataBytes }: FileLimits = LIMITS,
): number {
  const graph = model.graph!
  if (initializers.reduce((sum, tensor) => sum + byteLength(tensor), 0) <= inlineBytes) {
    for (const { name, load } of initializers) {
      const tensor = load()
      graph.initializer.push(initializerOf(name, tensor, { rawData: bytesOf(tensor) }))
    }
    writeWhole(path, [toBinary(ModelProtoSchema, model)])
    return 0
  }
  const files = allocate(initializers, dataBytes)
  for (const [n, places] of files.entries()) {
    writeWhole(dataFile(path, n), contents(places))
    for (const { tensor, offset } of places) {
      const where = {
        location: basename(dataFile(path, n)),
        offset: String(offset),
        length: String(byteLength(tensor)),
      }
      const externalData = Object.entries(where).map(([key, value]) =>
        create(StringStringEntryProtoSchema, { key, value }),
      )
      graph.initializer.push(initializerOf(tensor.name, tensor, { externalData, dataLocation: DataLocation.EXTERNAL }))
    }
  }
  writeWhole(path, [toBinary(ModelProtoSchema, model)])
  return files.length
}

type Place = { tensor: Initializer; offset: number }

const aligned = (offset: number) => Math.ceil(offset / ALIGNMENT) * ALIGNMENT

/** Where each tensor goes: a list of files, each a list of places in it. */
function allocate(initializers: readonly Initializer[], dataBytes: number): Place[][] {
  const files: Place[][] = [[]]
  let end = 0
  for (const tensor of initializers) {
    const full = end > 0 && aligned(end) + byteLength(tensor) > dataBytes
    if (full) files.push([])
    const offset = full ? 0 : aligned(end)
    files[files.length - 1].push({ tensor, offset })
    end = offset + byteLength(tensor)
  }
  return files
}

function* contents(places: readonly Place[]): Generator<Uint8Array> {
  let end = 0
  for (const { tensor, offset } of places) {
    yield new Uint8Array(offset - end)
    yield bytesOf(tensor.load())
    end = offset + byteLength(tensor)
  }
}

/** The weights that a model file or the files beside it hold, by name, read when they are asked for. */
export function readInitializers(path: string): Map<string, (dtype: StoredDType) => HostTensor> {
  const model = fromBinary(ModelProtoSchema, readFileSync(path))
  return new Map(
    model.graph!.initializer.map((tensor) => [tensor.name, (dtype) => readInitializer(path, tensor, dtype)]),
  )
}

function readInitializer(path: string, { dims, rawData, externalData }: TensorProto, dtype: StoredDType): HostTensor {
  const shape = dims.map(Number)
  const entry = (key: string) => externalData.find((entry) => entry.key === key)?.value
  const bytes = new Uint8Array(sizeOf(shape) * ARRAYS[dtype].BYTES_PER_ELEMENT)
  const location = entry('location')
  if (location === undefined) bytes.set(rawData)
  else readAt(join(dirname(path), location), bytes, Number(entry('offset')))
  return { dtype, shape, data: new ARRAYS[dtype](bytes.buffer) }
}

function readAt(path: string, bytes: Uint8Array, offset: number): void {
  const file = openSync(path, 'r')
  try {
    for (let done = 0; done < bytes.length; ) {
      const count = readSync(file, bytes, done, bytes.length - done, offset + done)
      if (count === 0) throw new Error(`${path} ends within a tensor`)
      done += count
    }
  } finally {
    closeSync(file)
  }
}
