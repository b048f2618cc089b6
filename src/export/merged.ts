/**
 * @file A policy as a checkpoint of its own: the model's files with the adapter folded into its weights. Names, types and
 * order are the checkpoint's; what the adapter does not touch is copied bit for bit.
 */
import { copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '../errors.ts'
import { writeJson } from '../files.ts'
import { turnedInCheckpoint } from '../models/architectures.ts'
import { describeModel } from '../models/language-model.ts'
import { modelFiles } from '../models/model-files.ts'
import { narrowToBfloat16, narrowToFloat16 } from '../weights/dtypes.ts'
import { INDEX_FILE, openTensorFiles, SINGLE_FILE } from '../weights/open-weights.ts'
import type { SafetensorsFile, StoredTensor } from '../weights/safetensors.ts'
import { writeStoredTensors } from '../weights/safetensors.ts'
import type { StoredType } from '../weights/safetensors-header.ts'
import { turned } from '../weights/turned.ts'
import type { Exporter, OpenExport } from './export-policy.ts'
import { scoreTexts } from './held-out.ts'
import { type MergedWeights, openMerged, type Policy } from './policy.ts'
import { leastExact, type PrecisionName, precisions } from './precision.ts'
import { copySideFiles, requireFolder } from './side-files.ts'

/** Larger checkpoints are cut into shards, as other software does: a file is fetched and mapped as a whole. */
const SHARD_BYTES = 5_000_000_000

/** Types that an adapter can be folded into: the rounding of the sum, and how exact it is. */
const FOLDABLE: Partial<
  Record<StoredType, { precision: PrecisionName; narrow: (sum: Float32Array) => ArrayBufferView }>
> = {
  F32: { precision: 'float32', narrow: (sum) => sum },
  F16: { precision: 'float16', narrow: narrowToFloat16 },
  BF16: { precision: 'bfloat16', narrow: narrowToBfloat16 },
}

export const mergedExporter: Exporter = {
  async check(policy) {
    requireFolder(policy.path)
    foldedTypes(policy)
  },
  write: (policy, folder) => writeMerged(policy, folder),
  open: (policy, folder, _texts, threads) => openWritten(policy, folder, threads),
}

/** Writes the folder. @throws UserError where the model is no folder, or an adapted weight has a type of no use */
export function writeMerged(policy: Policy, folder: string, { shardBytes = SHARD_BYTES } = {}): void {
  const { path } = modelFiles(policy.path)
  copySideFiles(path, folder)
  copyFileSync(join(path, 'config.json'), join(folder, 'config.json'))
  const merged = openMerged(policy)
  const files = openTensorFiles(path)
  try {
    writeShards(folder, mergedTensors(merged, files, turnedInCheckpoint(policy.description)), shardBytes)
  } finally {
    merged.close()
    closeAll(files)
  }
}

type Named = readonly [name: string, tensor: StoredTensor]

function mergedTensors(
  merged: MergedWeights,
  files: ReadonlyMap<string, SafetensorsFile>,
  turnedNames: ReadonlySet<string>,
): Named[] {
  const ours = new Map([...merged.storedNames].map(([name, stored]) => [stored, name]))
  return [...files].map(([stored, file]) => {
    const { dtype, shape, bytes } = file.entries.get(stored)!
    const name = ours.get(stored)
    if (name === undefined || !merged.isAdapted(name))
      return [stored, { dtype, shape, bytes, read: () => file.bytes(stored) }]
    const narrow = foldable(dtype, `${file.path}, tensor ${stored}`).narrow
    const sum = () => (turnedNames.has(stored) ? turned(merged.read(name)) : merged.read(name)).data as Float32Array
    return [stored, { dtype, shape, bytes, read: () => [bytesOf(narrow(sum()))] }]
  })
}

function foldable(dtype: StoredType, where: string) {
  const type = FOLDABLE[dtype]
  if (type) return type
  throw new UserError({
    what: `an adapter cannot be folded into type ${dtype}`,
    where,
    fix: `use a checkpoint in ${Object.keys(FOLDABLE).join(', ')}`,
  })
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) => new Uint8Array(buffer, byteOffset, byteLength)

function writeShards(folder: string, tensors: readonly Named[], shardBytes: number): void {
  const shards = cut(tensors, shardBytes)
  if (shards.length === 1) {
    writeStoredTensors(join(folder, SINGLE_FILE), tensors)
    return
  }
  const numbered = (n: number) => String(n).padStart(5, '0')
  const weightMap: Record<string, string> = {}
  for (const [i, shard] of shards.entries()) {
    const file = `model-${numbered(i + 1)}-of-${numbered(shards.length)}.safetensors`
    writeStoredTensors(join(folder, file), shard)
    for (const [name] of shard) weightMap[name] = file
  }
  const total = tensors.reduce((sum, [, { bytes }]) => sum + bytes, 0)
  writeJson(join(folder, INDEX_FILE), { metadata: { total_size: total }, weight_map: weightMap })
}

/** Consecutive tensors that together have at most so many bytes; a larger one is on its own. */
function cut(tensors: readonly Named[], bytes: number): Named[][] {
  const shards: Named[][] = [[]]
  let held = 0
  for (const tensor of tensors) {
    const shard = shards[shards.length - 1]
    if (shard.length > 0 && held + tensor[1].bytes > bytes) {
      shards.push([tensor])
      held = tensor[1].bytes
    } else {
      shard.push(tensor)
      held += tensor[1].bytes
    }
  }
  return shards
}

/** The folder as any user of it would read it. */
async function openWritten(policy: Policy, folder: string, threads?: number): Promise<OpenExport> {
  const copy: Policy = { path: folder, description: describeModel(folder) }
  if (existsSync(join(folder, 'tokenizer.json'))) await modelFiles(folder).tokenizer()
  const types = foldedTypes(policy)
  const weights = openMerged(copy)
  return {
    where: folder,
    precision: leastExact([...types.values()]),
    read: (name) => ({
      values: weights.read(name).data as Float32Array,
      precision: precisions[types.get(name) ?? 'float32'],
    }),
    logProbabilities: (texts) => scoreTexts(copy, texts, threads),
    close: () => weights.close(),
  }
}

/** The types of the weights that the adapter is folded into. @throws UserError for one that cannot hold the sum */
function foldedTypes(policy: Policy): Map<string, PrecisionName> {
  const merged = openMerged(policy)
  const files = openTensorFiles(modelFiles(policy.path).path)
  try {
    const adapted = [...merged.storedNames].filter(([name]) => merged.isAdapted(name))
    return new Map(
      adapted.map(([name, stored]) => {
        const { path, entries } = files.get(stored)!
        return [name, foldable(entries.get(stored)!.dtype, `${path}, tensor ${stored}`).precision]
      }),
    )
  } finally {
    merged.close()
    closeAll(files)
  }
}

const closeAll = (files: ReadonlyMap<string, SafetensorsFile>) => {
  for (const file of new Set(files.values())) file.close()
}
