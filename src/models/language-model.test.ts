import { copyFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { UserError } from '../errors.ts'
import { float32, type NamedTensors } from '../runtime/host-tensor.ts'
import { openSafetensors, writeSafetensors } from '../weights/safetensors.ts'
import { architectures } from './architectures.ts'
import { contentHash } from './content-hash.ts'
import { describeModel, laneShape, loadLanguageModel, loadWeights, parameterCount } from './language-model.ts'
import { textLogits } from './score.ts'

const checkpoints = new URL('../../test/golden/checkpoints/', import.meta.url).pathname

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flowtune-model-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** The message of the UserError that the work ends in. */
async function complaint(work: () => unknown): Promise<string> {
  try {
    await work()
  } catch (error) {
    expect(error).toBeInstanceOf(UserError)
    return (error as UserError).message
  }
  throw new Error('nothing was refused')
}

/** The tensors of a golden checkpoint. */
function tensorsOf(name: string): NamedTensors {
  const file = openSafetensors(`${checkpoints}${name}/model.safetensors`)
  const tensors = Object.fromEntries([...file.entries.keys()].map((key) => [key, file.read(key)]))
  file.close()
  return tensors
}

/** A copy of a golden checkpoint with other weights, in the test's folder. */
function rewrite(name: string, change: (tensors: NamedTensors) => NamedTensors) {
  copyFileSync(`${checkpoints}${name}/config.json`, join(folder, 'config.json'))
  writeSafetensors(join(folder, 'model.safetensors'), change(tensorsOf(name)))
}

const without = (tensors: NamedTensors, name: string) =>
  Object.fromEntries(Object.entries(tensors).filter(([key]) => key !== name))

const load = (path: string) => loadWeights(path, describeModel(path), { threads: 1 })

async function logitsOf(path: string, tokens: readonly number[]) {
  const { description: model, lanes, dispose } = await load(path)
  const logits = await lanes.use((lane) => textLogits(lane, { model }, tokens))
  await dispose()
  return logits
}

describe('a folder is refused', () => {
  test('that does not exist, by its path', async () => {
    const missing = join(folder, 'no-such-model')
    for (const work of [() => describeModel(missing), () => loadLanguageModel(missing)])
      expect(await complaint(work)).toMatch(new RegExp(`${missing}: .*config\\.json.*; give a model folder with`))
  })

  test('that has no config.json, by the folder', async () => {
    copyFileSync(`${checkpoints}llama/model.safetensors`, join(folder, 'model.safetensors'))
    expect(await complaint(() => describeModel(folder))).toContain(`${folder}: no model here: there is no config.json`)
  })

  test('whose config.json is no JSON', async () => {
    writeFileSync(join(folder, 'config.json'), '{"model_type": "llama"')
    expect(await complaint(() => describeModel(folder))).toMatch(/config\.json: cannot be read: /)
  })

  test.each(['mamba', undefined, null])('of architecture %s, naming those that it could be', async (model_type) => {
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ model_type }))
    const message = await complaint(() => describeModel(folder))
    expect(message).toContain(`config.json: unknown architecture "${model_type}"`)
    for (const known of Object.keys(architectures)) expect(message).toContain(known)
  })

  test('whose config lacks keys, by all of them at once', async () => {
    const { vocab_size: _, n_head: __, ...rest } = JSON.parse(readFileSync(`${checkpoints}gpt2/config.json`, 'utf8'))
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...rest, activation_function: 'relu' }))
    const message = await complaint(() => describeModel(folder))
    for (const key of ['vocab_size', 'n_head', 'activation_function']) expect(message).toContain(key)
    expect(message).not.toContain('n_embd')
  })

  test('without weights, saying what it holds instead', async () => {
    copyFileSync(`${checkpoints}llama/config.json`, join(folder, 'config.json'))
    expect(await complaint(() => load(folder))).toContain('no weights: the folder holds config.json')
  })

  test('that lacks a weight, by its name', async () => {
    rewrite('llama', (tensors) => without(tensors, 'model.layers.1.mlp.up_proj.weight'))
    const message = await complaint(() => load(folder))
    expect(message).toContain(folder)
    expect(message).toContain('no tensor model.layers.1.mlp.up_proj.weight')
  })

  test('with a weight of another shape, naming it, its shape and the one of config.json', async () => {
    rewrite('llama', (tensors) => ({ ...tensors, 'model.norm.weight': float32([31]) }))
    expect(await complaint(() => load(folder))).toContain(
      'tensor model.norm.weight has shape [31], but config.json asks for [32]',
    )
  })

  test('with a weight that is transposed', async () => {
    const name = 'transformer.h.0.attn.c_attn.weight'
    rewrite('gpt2', (tensors) => ({ ...tensors, [name]: { ...tensors[name], shape: [96, 32] } }))
    expect(await complaint(() => load(folder))).toMatch(/h\.0\.attn\.c_attn\.weight has shape \[96,32\].*\[32,96\]/)
  })
})

test.each([
  ['gpt2', 'transformer.', { 'h.0.attn.bias': [1, 1, 64, 64], 'h.0.attn.masked_bias': [] }],
  ['gptj', 'transformer.', { 'h.0.attn.bias': [1, 1, 64, 64], 'h.0.attn.masked_bias': [] }],
  [
    'gpt_neox',
    'gpt_neox.',
    { 'layers.0.attention.rotary_emb.inv_freq': [2], 'layers.0.attention.bias': [1, 1, 64, 64] },
  ],
  ['llama', 'model.', { 'layers.0.self_attn.rotary_emb.inv_freq': [4] }],
])(
  'a %s checkpoint loads without "%s" before its names and with buffers that older software stored',
  async (name, prefix, buffers) => {
    const tokens = [5, 99, 17, 8]
    rewrite(name, (tensors) => ({
      ...Object.fromEntries(Object.entries(tensors).map(([key, tensor]) => [key.replace(prefix, ''), tensor])),
      ...Object.fromEntries(Object.entries(buffers).map(([key, shape]) => [key, float32(shape)])),
    }))
    expect(await logitsOf(folder, tokens)).toEqual(await logitsOf(`${checkpoints}${name}`, tokens))
  },
)

test('the head of a GPT-NeoX checkpoint may have its older or its newer name', async () => {
  rewrite('gpt_neox', ({ 'embed_out.weight': head, ...tensors }) => ({ ...tensors, 'lm_head.weight': head }))
  expect(await logitsOf(folder, [5, 99])).toEqual(await logitsOf(`${checkpoints}gpt_neox`, [5, 99]))
})

test('a head that config.json ties is taken from the embeddings, whatever else the file holds', async () => {
  const head = 'lm_head.weight'
  rewrite('qwen2', (tensors) => ({ ...tensors, [head]: float32(tensors['model.embed_tokens.weight'].shape) }))
  expect(await logitsOf(folder, [5, 99])).toEqual(await logitsOf(`${checkpoints}qwen2`, [5, 99]))
})

test('a small model has a lane per thread, and every lane computes the same', async () => {
  const path = `${checkpoints}llama`
  const { description: model, lanes, dispose } = await loadWeights(path, describeModel(path), { threads: 2 })
  expect(lanes.count).toBe(2)
  const [first, second] = await Promise.all([
    lanes.use((lane) => textLogits(lane, { model }, [5, 6, 7])),
    lanes.use((lane) => textLogits(lane, { model }, [5, 6, 7])),
  ])
  expect(second).toEqual(first)
  await dispose()
})

test('parameters are those of the checkpoint', () => {
  for (const name of readdirSync(checkpoints)) {
    const stored = Object.values(tensorsOf(name)).reduce((sum, { data }) => sum + data.length, 0)
    expect(parameterCount(describeModel(`${checkpoints}${name}`))).toBe(stored)
  }
})

test('a content hash changes with any bit of config or weights, and with nothing else', () => {
  cpSync(`${checkpoints}llama`, folder, { recursive: true })
  const original = contentHash(`${checkpoints}llama`)
  expect(original).toMatch(/^[0-9a-f]{64}$/)
  writeFileSync(join(folder, 'README.md'), 'about this model')
  expect(contentHash(folder)).toBe(original)

  const weights = readFileSync(join(folder, 'model.safetensors'))
  weights[weights.length - 1] ^= 1
  writeFileSync(join(folder, 'model.safetensors'), weights)
  expect(contentHash(folder)).not.toBe(original)
})

test('a small model has a lane for each thread, a large one as many as are asked for, and a device one', () => {
  const small = describeModel(`${checkpoints}llama`)
  const large = architectures.gpt2.describe(
    { model_type: 'gpt2', vocab_size: 50_257, n_positions: 1024, n_embd: 768, n_layer: 12, n_head: 12 },
    'config.json',
  )
  const shape = (config: typeof large, options: Parameters<typeof laneShape>[1]) =>
    laneShape({ ...config, storage: 'float32', recompute: 'nothing' }, options)
  expect(shape(small, { threads: 6 })).toMatchObject({ count: 6, threads: 1 })
  expect(shape(large, { threads: 6 })).toMatchObject({ count: 1, threads: 6 })
  expect(shape(large, { threads: 6, lanes: 2 })).toMatchObject({ count: 2, threads: 3 })
  expect(shape(large, { threads: 6, lanes: 9 })).toMatchObject({ count: 6, threads: 1 })
  expect(shape(large, { threads: 6, lanes: 2, device: 'webgpu' })).toMatchObject({ count: 1, threads: 6 })
})
