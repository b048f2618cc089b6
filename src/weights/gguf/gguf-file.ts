/** @file GGUF files under their own names: opening one reads its header only, and a tensor is decoded part by part. */
import { sizeOf } from '../../runtime/host-tensor.ts'
import { unknownTensor } from '../unknown-tensor.ts'
import { BLOCK_TYPES, bytesOfBlocks } from './block-types.ts'
import { type ByteSource, openByteSource } from './byte-source.ts'
import { decodeBlocks } from './decode.ts'
import { type GgufHeader, readHeader } from './header.ts'
import type { TensorInfo } from './tensor-infos.ts'

/** An open file. Whoever opened it closes it. */
export type GgufFile = GgufHeader & {
  path: string
  /** @throws UserError for an unknown name */
  info(name: string): TensorInfo
  /**
   * The values of a tensor in the order of the file, at most `elements` at a time, in whole blocks and at least one. The
   * array is used again: take what you need of it before you ask for the next part. @throws UserError for an unknown name
   */
  parts(name: string, elements: number): Iterable<Float32Array>
  close(): void
}

/** Opens a file and checks its header. @throws UserError for a file that is absent, damaged or not supported */
export function openGguf(path: string): GgufFile {
  const source = openByteSource(path)
  try {
    return { ...readGguf(source), close: source.close }
  } catch (error) {
    source.close()
    throw error
  }
}

/** The same from bytes that are already open. */
export function readGguf(source: ByteSource): Omit<GgufFile, 'close'> {
  const header = readHeader(source)
  const info = (name: string) => {
    const found = header.tensors.get(name)
    if (found) return found
    throw unknownTensor(name, [...header.tensors.keys()], source.path)
  }
  return {
    path: source.path,
    ...header,
    info,
    parts: (name, elements) => partsOf(source, info(name), elements),
  }
}

function* partsOf(source: ByteSource, { type, shape, offset }: TensorInfo, elements: number): Iterable<Float32Array> {
  const { elements: block } = BLOCK_TYPES[type]
  const size = sizeOf(shape)
  const most = Math.min(size, Math.max(1, Math.floor(elements / block)) * block)
  const [values, bytes] = [new Float32Array(most), new Uint8Array(bytesOfBlocks(type, most))]
  for (let start = 0; start < size; start += most) {
    const count = Math.min(most, size - start)
    const stored = bytes.subarray(0, bytesOfBlocks(type, count))
    source.read(stored, offset + bytesOfBlocks(type, start))
    decodeBlocks(type, stored, values)
    yield values.subarray(0, count)
  }
}
