/** @file What a GGUF header says of its tensors: shape, type and place, checked against the file. */
import { UserError } from '../../errors.ts'
import { BLOCK_TYPES, type BlockType, blockTypeOf, bytesOfBlocks, UNREAD_TYPES } from './block-types.ts'
import type { ByteSource } from './byte-source.ts'
import { type Cursor, damaged, shown, thousands } from './cursor.ts'

/**
 * A tensor in a file. `shape` is in the order of row-major arrays, the reverse of what the file has; `offset` counts
 * bytes from the beginning of the file.
 */
export type TensorInfo = { type: BlockType; shape: readonly number[]; offset: number; bytes: number }

const MAX_DIMENSIONS = 4 // ggml's limit

/** Reads what follows a tensor's name; its offset still counts from the beginning of the data. */
export function readTensorInfo(cursor: Cursor, source: ByteSource, name: string): TensorInfo {
  const dimensions = cursor.u32(`tensor ${name}`)
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS)
    throw damaged(source.path, `tensor ${name} has ${thousands(dimensions)} dimensions`)
  const shape = Array.from({ length: dimensions }, () => cursor.size(`an extent of tensor ${name}`)).reverse()
  const type = supportedType(cursor.u32(`the type of tensor ${name}`), source.path, name)
  const offset = cursor.size(`the place of tensor ${name}`)
  const { elements, bytes: blockBytes } = BLOCK_TYPES[type]
  if (shape.at(-1)! % elements !== 0)
    throw damaged(source.path, `tensor ${name} has rows of ${thousands(shape.at(-1)!)}, not whole ${type} blocks`)
  const most = (source.size / blockBytes) * elements // a product beyond this is not computed: it may not be exact
  let size = 1
  for (const extent of shape) {
    size *= extent
    if (extent === 0 || size > most)
      throw damaged(source.path, `tensor ${name} claims ${type} [${shape}], more or less than the file can hold`)
  }
  return { type, shape, offset, bytes: bytesOfBlocks(type, size) }
}

function supportedType(id: number, path: string, name: string): BlockType {
  const type = blockTypeOf(id)
  if (type) return type
  const known = UNREAD_TYPES[id]
  if (!known) throw damaged(path, `tensor ${name} has type ${thousands(id)}, which does not exist`)
  throw new UserError({
    what: `tensor ${name} is stored as ${known}, which is not supported`,
    where: path,
    fix: 'use a file of the same model in F16, Q8_0, Q6_K, Q5_K_M or Q4_K_M',
  })
}

/**
 * Tensors must follow each other from the beginning of the data, each on the first multiple of the alignment after the
 * one before it. Returns them with offsets from the beginning of the file.
 */
export function checkLayout(
  infos: ReadonlyMap<string, TensorInfo>,
  { dataStart, alignment, size }: Record<'dataStart' | 'alignment' | 'size', number>,
  path: string,
): ReadonlyMap<string, TensorInfo> {
  let end = 0
  for (const [name, { offset, bytes }] of [...infos].sort(([, a], [, b]) => a.offset - b.offset)) {
    if (offset % alignment !== 0)
      throw damaged(
        path,
        `tensor ${shown(name)} begins at ${thousands(offset)}, no multiple of ${thousands(alignment)}`,
      )
    if (offset < end)
      throw damaged(path, `tensor ${shown(name)} overlaps the one before it by ${thousands(end - offset)} bytes`)
    if (offset - end >= alignment)
      throw damaged(path, `there is a hole of ${thousands(offset - end)} bytes before tensor ${shown(name)}`)
    end = offset + bytes
  }
  if (infos.size && dataStart + end > size)
    throw damaged(path, `truncated: ${thousands(size)} bytes of ${thousands(dataStart + end)}`)
  return new Map([...infos].map(([name, info]) => [name, { ...info, offset: dataStart + info.offset }]))
}
