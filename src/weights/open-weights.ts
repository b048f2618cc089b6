/** @file The weights of a model folder in Hugging Face form: one safetensors file, or shards that an index lists. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { contentsOf, readJson } from '../files.ts'
import type { HostTensor } from '../runtime/host-tensor.ts'
import { openSafetensors, type SafetensorsFile } from './safetensors.ts'
import { unknownTensor } from './unknown-tensor.ts'

const SINGLE_FILE = 'model.safetensors'
const INDEX_FILE = 'model.safetensors.index.json'

/** The open weights of a model. Whoever opened them closes them. */
export type Weights = {
  /** The folder or the file that holds them. */
  path: string
  names: readonly string[]
  /** Bytes of all tensors as stored. */
  totalBytes: number
  has(name: string): boolean
  /** @throws UserError where there is no tensor of that name */
  shapeOf(name: string): readonly number[]
  /** One tensor, floating-point numbers as float32. @throws UserError where there is no tensor of that name */
  read(name: string): HostTensor
  /**
   * The float32 values of a tensor in order, at most `elements` (whole rows) at a time; a part is overwritten when the
   * next is asked for. @throws UserError where there is no tensor of that name
   */
  parts(name: string, elements: number): Iterable<Float32Array>
  close(): void
}

/** Opens the weights of a model folder. @throws UserError saying what the folder holds where it holds no whole model */
export function openWeights(folder: string): Weights {
  if (existsSync(join(folder, INDEX_FILE))) return openShards(folder)
  if (existsSync(join(folder, SINGLE_FILE))) {
    const file = openSafetensors(join(folder, SINGLE_FILE))
    return weightsOf(folder, new Map([...file.entries.keys()].map((name) => [name, file])))
  }
  const pickle = existsSync(folder) && readdirSync(folder).find((file) => /\.(bin|pth|pt|ckpt)$/.test(file))
  if (pickle)
    throw new UserError({
      what: `the weights are there as ${pickle} only, a Python pickle: reading it may run any code`,
      where: folder,
      fix: `take ${SINGLE_FILE} from the model's page, or write it: python -c "from transformers import AutoModelForCausalLM as M; M.from_pretrained('${folder}').save_pretrained('${folder}')"`,
    })
  throw new UserError({
    what: `no weights: the folder holds ${contentsOf(folder)}`,
    where: folder,
    fix: `give a folder with ${SINGLE_FILE}, or with ${INDEX_FILE} and its shards`,
  })
}

const shardName = z.string().regex(/^[^/\\]+\.safetensors$/, 'a shard must be a .safetensors file beside the index')
const indexSchema = z.object({ weight_map: z.record(z.string(), shardName) })

function openShards(folder: string): Weights {
  const { weight_map } = readJson(join(folder, INDEX_FILE), indexSchema)
  const shards = [...new Set(Object.values(weight_map))].sort()
  const missing = shards.filter((shard) => !existsSync(join(folder, shard)))
  if (missing.length) {
    throw new UserError({
      what: `${missing.length} of ${shards.length} shards are missing: ${missing.join(', ')}`,
      where: folder,
      fix: 'finish the download',
    })
  }
  const files = new Map<string, SafetensorsFile>()
  try {
    for (const shard of shards) files.set(shard, openSafetensors(join(folder, shard)))
    return weightsOf(folder, new Map(Object.entries(weight_map).map(([name, shard]) => [name, files.get(shard)!])))
  } catch (error) {
    for (const file of files.values()) file.close()
    throw error
  }
}

function weightsOf(folder: string, files: ReadonlyMap<string, SafetensorsFile>): Weights {
  const names = [...files.keys()]
  for (const [name, file] of files) {
    if (!file.entries.has(name)) {
      throw new UserError({
        what: `no tensor ${name}, which the index puts here`,
        where: file.path,
        fix: 'download it again',
      })
    }
  }
  const fileOf = (name: string) => {
    const file = files.get(name)
    if (file) return file
    throw unknownTensor(name, names, folder)
  }
  const entryOf = (name: string) => fileOf(name).entries.get(name)!
  return {
    path: folder,
    names,
    totalBytes: names.reduce((bytes, name) => bytes + entryOf(name).bytes, 0),
    has: (name) => files.has(name),
    shapeOf: (name) => entryOf(name).shape,
    read: (name) => fileOf(name).read(name),
    parts: (name, elements) => fileOf(name).parts(name, elements),
    close: () => new Set(files.values()).forEach((file) => void file.close()),
  }
}
