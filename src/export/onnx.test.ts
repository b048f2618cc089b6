import {
  closeSync,
  cpSync,
  mkdirSync,
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
import { checkpoints, heldOutOf, plainCheckpoints, policyOf } from '../../test/exports.ts'
import { turnedInCheckpoint } from '../models/architectures.ts'
import { float32 } from '../runtime/host-tensor.ts'
import { writeSafetensors } from '../weights/safetensors.ts'
import { turned } from '../weights/turned.ts'
import { scoreTexts, worstDifference } from './held-out.ts'
import { onnxPath, readOnnxFolder, writeOnnxFolder } from './onnx.ts'
import { readInitializers } from './onnx-file.ts'
import type { OnnxDtype } from './onnx-weights.ts'
import { openOnnxRuntime } from './onnxruntime-reader.ts'
import { placed } from './placed.ts'
import type { Policy } from './policy.ts'
import { precisions } from './precision.ts'
import { verify } from './verify.ts'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'onnx-'))
})
afterEach(() => rmSync(home, { recursive: true }))
const at = (...names: string[]) => join(home, ...names)

/** Small enough that even the smallest checkpoint needs several files beside its graph. */
const manyFiles = { inlineBytes: 0, dataBytes: 50_000 }

async function verified(policy: Policy, folder: string, dtype: OnnxDtype) {
  const reader = await openOnnxRuntime(onnxPath(folder, dtype), policy.description, 1)
  try {
    return await verify(policy, await heldOutOf(policy), readOnnxFolder(policy, folder, dtype, reader))
  } finally {
    await reader.dispose()
  }
}

it.each(Object.entries(checkpoints))(
  '%s as ONNX computes what the policy does, padded and with a cache',
  async (_, folder) => {
    const policy = policyOf(folder)
    writeOnnxFolder(policy, at('onnx'), 'fp32')
    const { difference, worstTensor } = await verified(policy, at('onnx'), 'fp32')
    expect(difference).toBeLessThan(1e-4) // sums in another order
    expect(worstTensor).toBeNull()
  },
)

describe.each(plainCheckpoints)('%s in fewer bits', (_, folder) => {
  it('fp16 is as close as half precision allows', async () => {
    const policy = policyOf(folder)
    writeOnnxFolder(policy, at('onnx'), 'fp16')
    const { difference, worstTensor } = await verified(policy, at('onnx'), 'fp16')
    expect(difference).toBeLessThan(precisions.float16.nats)
    expect(worstTensor).not.toBeNull()
  })

  it('q8 is close too, and computes with the weights that it holds as exactly as with any others', async () => {
    const policy = policyOf(folder)
    const { weights } = policy.description
    writeOnnxFolder(policy, at('onnx'), 'q8')
    const reader = await openOnnxRuntime(onnxPath(at('onnx'), 'q8'), policy.description, 1)
    try {
      const heldOut = await heldOutOf(policy)
      const { texts } = heldOut
      const written = readOnnxFolder(policy, at('onnx'), 'q8', reader)
      expect((await verify(policy, heldOut, written)).difference).toBeLessThan(precisions.int8.nats)
      const { read, logProbabilities } = written
      const turnedNames = turnedInCheckpoint(policy.description)
      const held = Object.entries(weights).map(([name, shape]) => {
        const tensor = float32(shape, read(name).values)
        return [name, turnedNames.has(name) ? turned(tensor) : tensor] as const
      })
      mkdirSync(at('held'))
      cpSync(join(folder, 'config.json'), at('held', 'config.json'))
      writeSafetensors(at('held', 'model.safetensors'), Object.fromEntries(held))
      const expected = await scoreTexts({ path: at('held'), description: policy.description }, texts, 1)
      expect(worstDifference(expected, await logProbabilities(texts))).toBeLessThan(1e-3) // sums in another order
    } finally {
      await reader.dispose()
    }
  })
})

const llama = checkpoints.llama

it('large weights go into files beside the model, as transformers.js looks for them', async () => {
  const policy = policyOf(llama)
  writeOnnxFolder(policy, at('onnx'), 'fp32', manyFiles)
  const files = readdirSync(at('onnx', 'onnx')).sort()
  expect(files.slice(0, 3)).toEqual(['model.onnx', 'model.onnx_data', 'model.onnx_data_1'])
  const config = JSON.parse(readFileSync(at('onnx', 'config.json'), 'utf8'))
  expect(config['transformers.js_config']).toEqual({
    dtype: 'fp32',
    use_external_data_format: { 'model.onnx': files.length - 1 },
  })
  expect((await verified(policy, at('onnx'), 'fp32')).difference).toBeLessThan(1e-4)
})

it('one wrong byte of a weight is found, its tensor named, and nothing is left behind', async () => {
  const policy = policyOf(llama)
  const name = 'model.layers.0.self_attn.v_proj.weight'
  const attempt = placed(at('onnx'), async (folder) => {
    writeOnnxFolder(policy, folder, 'q8', manyFiles)
    const wanted = Buffer.from(readInitializers(onnxPath(folder, 'q8')).get(`${name}.bytes`)!('uint8').data.buffer)
    for (const file of readdirSync(join(folder, 'onnx')).filter((file) => file.includes('_data'))) {
      const place = readFileSync(join(folder, 'onnx', file)).indexOf(wanted)
      if (place < 0) continue
      const descriptor = openSync(join(folder, 'onnx', file), 'r+')
      writeSync(descriptor, Uint8Array.of(wanted[5] ^ 64), 0, 1, place + 5)
      closeSync(descriptor)
    }
    return verified(policy, folder, 'q8')
  })
  await expect(attempt).rejects.toThrow(new RegExp(`tensor ${name} is not the policy's: element 5 is off by`))
  expect(readdirSync(home)).toEqual([])
})

it('quantised matrices are in blocks along what is summed over, also where a checkpoint stores the inputs first', () => {
  const policy = policyOf(checkpoints.gpt2)
  writeOnnxFolder(policy, at('onnx'), 'q8')
  const stored = readInitializers(onnxPath(at('onnx'), 'q8'))
  const module = 'transformer.h.0.attn.c_attn'
  const [outputs, inputs] = policy.description.weights[`${module}.weight`]
  expect(stored.get(`${module}.weight.bytes`)!('uint8').shape).toEqual([outputs, inputs / 32, 32])
  expect(stored.get(`${module}.weight.scales`)!('float32').shape).toEqual([outputs, inputs / 32])
  expect(stored.has(`${module}.weight`)).toBe(false)
  expect(stored.get(`${module}.bias`)!('float32').shape).toEqual([outputs])
})
