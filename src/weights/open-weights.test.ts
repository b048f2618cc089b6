import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { float32 } from '../runtime/host-tensor.ts'
import { openWeights } from './open-weights.ts'
import { writeSafetensors } from './safetensors.ts'

const golden = (name: string) => fileURLToPath(new URL(`../../test/golden/checkpoints/${name}`, import.meta.url))

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weights-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const writeIndex = (weight_map: Record<string, string>) =>
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map }))

describe('a single file', () => {
  it('gives the names, shapes and values of a model written by PyTorch', () => {
    const weights = openWeights(golden('llama'))
    expect(weights.names).toContain('model.layers.1.self_attn.q_proj.weight')
    expect(weights.shapeOf('model.embed_tokens.weight')).toEqual([131, 32])
    expect(weights.read('lm_head.weight').data).toHaveLength(131 * 32)
    expect(weights.totalBytes).toBe(weights.names.reduce((sum, name) => sum + weights.read(name).data.byteLength, 0))
    weights.close()
  })

  it('offers the nearest name for a tensor that does not exist', () => {
    const weights = openWeights(golden('gpt2'))
    expect(weights.has('h.0.attn.c_attn.weight')).toBe(false)
    expect(() => weights.shapeOf('h.0.attn.c_attn.weight')).toThrow(
      /did you mean transformer\.h\.0\.attn\.c_attn\.weight/,
    )
    weights.close()
  })
})

it.each(['pytorch_model.bin', 'pytorch_model-00001-of-00002.bin', 'consolidated.00.pth'])(
  'a pickle, %s, is refused with how to convert it',
  (file) => {
    writeFileSync(join(folder, file), '')
    expect(() => openWeights(folder)).toThrow(
      /the weights are there as .* only, a Python pickle: reading it may run any code; .*save_pretrained/,
    )
  },
)

describe('shards', () => {
  it('are read as one model', () => {
    writeSafetensors(join(folder, 'model-00001-of-00002.safetensors'), { a: float32([2], [1, 2]) })
    writeSafetensors(join(folder, 'model-00002-of-00002.safetensors'), { b: float32([1], [3]), c: float32([1], [4]) })
    const [first, second] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
    writeIndex({ a: first, b: second, c: second })
    const weights = openWeights(folder)
    expect(weights.names).toEqual(['a', 'b', 'c'])
    expect(weights.totalBytes).toBe(16)
    expect(weights.read('c')).toEqual(float32([1], [4]))
    weights.close()
  })

  it('that are missing are listed', () => {
    writeSafetensors(join(folder, 'one.safetensors'), { a: float32([1]) })
    writeIndex({ a: 'one.safetensors', b: 'two.safetensors', c: 'three.safetensors' })
    expect(() => openWeights(folder)).toThrow(/2 of 3 shards are missing: three\.safetensors, two\.safetensors/)
  })

  it('without a tensor that the index promises are refused', () => {
    writeSafetensors(join(folder, 'one.safetensors'), { a: float32([1]) })
    writeIndex({ a: 'one.safetensors', b: 'one.safetensors' })
    expect(() => openWeights(folder)).toThrow(/one\.safetensors: no tensor b/)
  })

  it.each(['../secret.safetensors', '/etc/passwd', 'sub\\x.safetensors', '..'])(
    'outside of the folder are refused: %s',
    (shard) => {
      writeIndex({ a: shard })
      expect(() => openWeights(folder)).toThrow(/a shard must be a \.safetensors file beside the index/)
    },
  )
})

describe('a folder without weights', () => {
  it('is refused with what it holds', () => {
    expect(() => openWeights(folder)).toThrow(/no weights: the folder holds nothing/)
    writeFileSync(join(folder, 'notes.txt'), '')
    expect(() => openWeights(folder)).toThrow(/holds notes\.txt; give a folder with model\.safetensors/)
    expect(() => openWeights(join(folder, 'absent'))).toThrow(/there is no such folder/)
  })
})
