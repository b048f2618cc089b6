import {
  closeSync,
  cpSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { architecturesWithoutCheckpoint, checkpoints, heldOutOf, policyOf } from '../../test/exports.ts'
import { writeJson } from '../files.ts'
import { everyWeightOf } from '../models/every-weight.ts'
import { describeModel } from '../models/language-model.ts'
import { narrowToBfloat16, narrowToFloat16 } from '../weights/dtypes.ts'
import { openSafetensors, writeSafetensors, writeStoredTensors } from '../weights/safetensors.ts'
import { scoreTexts, worstDifference } from './held-out.ts'
import { mergedExporter, writeMerged } from './merged.ts'
import { placed } from './placed.ts'
import type { Policy } from './policy.ts'
import { verify } from './verify.ts'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'merged-'))
})
afterEach(() => rmSync(home, { recursive: true }))
const at = (...names: string[]) => join(home, ...names)

async function verified(policy: Policy, folder: string) {
  const heldOut = await heldOutOf(policy)
  const written = await mergedExporter.open(policy, folder, heldOut.texts, 1)
  try {
    return await verify(policy, heldOut, written)
  } finally {
    await written.close()
  }
}

it('every architecture has a checkpoint here', () => {
  expect(architecturesWithoutCheckpoint()).toEqual([])
})

describe.each(Object.entries(checkpoints))('%s, merged', (_, folder) => {
  it('computes what the policy does, in the layout and types of the checkpoint', async () => {
    const policy = policyOf(folder)
    writeMerged(policy, at('merged'))
    const { difference, worstTensor } = await verified(policy, at('merged'))
    expect(difference).toBeLessThan(1e-4) // float32 sums in another order
    expect(worstTensor).toBeNull() // what is rounded once is rounded the same

    const [original, copy] = [folder, at('merged')].map((path) => openSafetensors(join(path, 'model.safetensors')))
    const described = ({ entries }: typeof original) =>
      [...entries].map(([name, { dtype, shape }]) => [name, dtype, shape])
    expect(described(copy).sort()).toEqual(described(original).sort())
    original.close()
    copy.close()
    for (const file of ['config.json', 'generation_config.json', 'tokenizer.json'])
      if (existsSync(join(folder, file)))
        expect(readFileSync(at('merged', file), 'utf8')).toBe(readFileSync(join(folder, file), 'utf8'))
  })
})

it.each(['llama', 'gpt2'])('%s with all its weights trained, and none changed, is the same file', (name) => {
  const path = checkpoints[name]
  const description = describeModel(path)
  writeMerged({ path, description, adapter: everyWeightOf({ path, description }) }, at('merged'))
  const [original, copy] = [path, at('merged')].map((folder) => readFileSync(join(folder, 'model.safetensors')))
  expect(copy.equals(original)).toBe(true)
})

it.each(['llama', 'gpt2'])(
  '%s says something else with its adapter, else these tests would show nothing',
  async (name) => {
    const policy = policyOf(checkpoints[name])
    const { texts, logProbabilities } = await heldOutOf(policy)
    const base = await scoreTexts({ ...policy, adapter: undefined }, texts, 1)
    expect(worstDifference(base, logProbabilities)).toBeGreaterThan(1)
  },
)

const llama = checkpoints.llama

describe('a checkpoint in half precision stays in it', () => {
  it.each([
    ['F16', narrowToFloat16],
    ['BF16', narrowToBfloat16],
  ] as const)('%s', async (dtype, narrow) => {
    const source = openSafetensors(join(llama, 'model.safetensors'))
    const tensors = [...source.entries].map(([name, { shape }]) => {
      const { buffer } = narrow(source.read(name).data as Float32Array)
      return [name, { dtype, shape, bytes: buffer.byteLength, read: () => [new Uint8Array(buffer)] }] as const
    })
    source.close()
    cpSync(llama, at('half'), { recursive: true })
    writeStoredTensors(at('half', 'model.safetensors'), tensors)

    const policy = { ...policyOf(llama), path: at('half') }
    writeMerged(policy, at('merged'))
    const { worstTensor } = await verified(policy, at('merged'))
    expect(worstTensor).not.toBeNull() // W + ΔW was rounded
    const merged = openSafetensors(at('merged', 'model.safetensors'))
    expect(new Set([...merged.entries.values()].map((entry) => entry.dtype))).toEqual(new Set([dtype]))
    const [untouched] = [...merged.entries.keys()].filter((name) => name.endsWith('embed_tokens.weight'))
    const half = openSafetensors(at('half', 'model.safetensors'))
    expect([...merged.bytes(untouched)]).toEqual([...half.bytes(untouched)])
    half.close()
    merged.close()
  })
})

it('a large checkpoint is cut into shards that an index lists', async () => {
  const policy = policyOf(llama)
  writeMerged(policy, at('merged'), { shardBytes: 20_000 })
  const shards = readdirSync(at('merged')).filter((name) => /^model-\d{5}-of-\d{5}\.safetensors$/.test(name))
  expect(shards.length).toBeGreaterThan(3)
  const index = JSON.parse(readFileSync(at('merged', 'model.safetensors.index.json'), 'utf8'))
  expect(new Set(Object.values(index.weight_map))).toEqual(new Set(shards))
  expect((await verified(policy, at('merged'))).difference).toBeLessThan(1e-4)
})

it('one wrong element is found, its tensor named, and nothing is left behind', async () => {
  const policy = policyOf(llama)
  const name = 'model.layers.1.mlp.up_proj.weight'
  const attempt = placed(at('merged'), async (folder) => {
    writeMerged(policy, folder)
    const path = join(folder, 'model.safetensors')
    const copy = openSafetensors(path)
    const { offset } = copy.entries.get(name)!
    copy.close()
    const file = openSync(path, 'r+')
    writeSync(file, new Uint8Array(Float32Array.of(0.5).buffer), 0, 4, offset + 12)
    closeSync(file)
    return verified(policy, folder)
  })
  await expect(attempt).rejects.toThrow(new RegExp(`tensor ${name} is not the policy's: element 3 is off by`))
  expect(readdirSync(home)).toEqual([])
})

it('a wrong computation is found too, where every tensor is as it should be', async () => {
  const policy = policyOf(llama)
  writeMerged(policy, at('merged'))
  const config = JSON.parse(readFileSync(at('merged', 'config.json'), 'utf8'))
  writeJson(at('merged', 'config.json'), { ...config, rms_norm_eps: 0.5 })
  await expect(verified(policy, at('merged'))).rejects.toThrow(
    /log-probabilities of held-out text differ by .* nats, where 0\.0001 are allowed; all of its tensors are equal/,
  )
})

it('what an adapter cannot be folded into is refused by name', async () => {
  cpSync(llama, at('wide'), { recursive: true })
  const source = openSafetensors(join(llama, 'model.safetensors'))
  const tensors = [...source.entries.keys()].map((name) => {
    const { shape, data } = source.read(name)
    return [name, { dtype: 'float64' as const, shape, data: Float64Array.from(data as Float32Array) }] as const
  })
  source.close()
  writeSafetensors(at('wide', 'model.safetensors'), Object.fromEntries(tensors))
  const policy = { ...policyOf(llama), path: at('wide'), description: describeModel(at('wide')) }
  await expect(mergedExporter.check(policy, at('merged'))).rejects.toThrow(/an adapter cannot be folded into type F64/)
})
