import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fromRoot } from '../../test/from-root.ts'
import { writeJson } from '../files.ts'
import { seededRandom } from '../random.ts'
import { float32 } from '../runtime/host-tensor.ts'
import { narrowToFloat16 } from '../weights/dtypes.ts'
import { writeSafetensors } from '../weights/safetensors.ts'
import { initialAdapter, type LinearLayer, type LoraAdapter, type LoraConfig, rankOf, scaleOf } from './lora.ts'
import { readPeftFolder, writePeftFolder } from './peft.ts'

const readConfig = (folder: string) => JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8'))

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'peft-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** The layers that an adapter's matrices belong to. */
const layersOf = ({ weights }: LoraAdapter, inputsFirst: boolean): LinearLayer[] =>
  Object.keys(weights)
    .filter((name) => name.endsWith('.lora_A.weight'))
    .map((name) => {
      const module = name.replace('.lora_A.weight', '')
      const outputs = weights[`${module}.lora_B.weight`].shape[0]
      return { module, inputs: weights[name].shape[1], outputs, inputsFirst }
    })

const everyAdapter = existsSync(fromRoot('../shared/golden/adapters'))
  ? '../shared/golden/adapters'
  : 'test/golden/adapters'

describe('adapters that PEFT wrote', () => {
  it.each(readdirSync(fromRoot(everyAdapter)))('%s comes back as PEFT wrote it', (name) => {
    const adapter = readPeftFolder(fromRoot(`${everyAdapter}/${name}`))
    expect(adapter.config).toMatchObject({ rank: 3, alpha: 6 })
    const golden = readConfig(fromRoot(`${everyAdapter}/${name}`))
    writePeftFolder(folder, adapter, { baseModel: 'x', layers: layersOf(adapter, golden.fan_in_fan_out) })
    expect(readPeftFolder(folder)).toEqual(adapter)
    expect(golden).toMatchObject({ ...readConfig(folder), base_model_name_or_path: null })
    const bytes = (at: string) => readFileSync(join(at, 'adapter_model.safetensors'))
    expect(bytes(folder).equals(bytes(fromRoot(`${everyAdapter}/${name}`)))).toBe(true)
  })

  it('name their matrices by the modules of the model', () => {
    const { weights } = readPeftFolder(fromRoot('test/golden/adapters/gpt2'))
    expect(weights['transformer.h.1.attn.c_attn.lora_A.weight'].shape).toEqual([3, 32])
    expect(weights['transformer.h.1.attn.c_attn.lora_B.weight'].shape).toEqual([96, 3])
  })
})

describe('an adapter that would not mean the same here is refused by name', () => {
  const config = { peft_type: 'LORA', task_type: 'CAUSAL_LM', r: 2, lora_alpha: 4, target_modules: ['q'], bias: 'none' }
  const a = float32([2, 3])
  const b = float32([4, 2])
  const matrices = { 'base_model.model.h.0.q.lora_A.weight': a, 'base_model.model.h.0.q.lora_B.weight': b }
  const read = (changes: object, weights = {}) => {
    writeJson(join(folder, 'adapter_config.json'), { ...config, ...changes })
    writeSafetensors(join(folder, 'adapter_model.safetensors'), Object.keys(weights).length ? weights : matrices)
    return readPeftFolder(folder)
  }

  it.each([
    [{ peft_type: 'IA3' }, /peft_type: only LoRA/],
    [{ task_type: 'SEQ_CLS' }, /task_type: only adapters of causal/],
    [{ bias: 'lora_only' }, /bias: adapters with biases/],
    [{ use_dora: true }, /use_dora is not supported/],
    [{ rank_pattern: { q: 8 } }, /h\.0\.q has matrices \[2, 3\] and \[4, 2\], which do not fit rank 8/],
    [{ rank_pattern: { q: 0 } }, /rank_pattern\.q: /],
    [{ alpha_pattern: { '(?P<name>q)': 8 } }, /alpha_pattern: it has an expression that flowtune cannot read/],
    [{ lora_bias: true }, /lora_bias is not supported/],
    [{ modules_to_save: ['lm_head'] }, /modules_to_save is not supported/],
    [{ init_lora_weights: 'pissa_niter_16' }, /init_lora_weights: it changes the base model/],
    [{ init_lora_weights: 'lora_ga' }, /init_lora_weights: it changes the base model/],
    [{ target_parameters: ['h.0.experts'] }, /target_parameters is not supported/],
    [{ r: 0 }, /r: /],
    [{ r: 8 }, /h\.0\.q has matrices \[2, 3\] and \[4, 2\], which do not fit rank 8/],
    [{ target_modules: ['k'] }, /h\.0\.q has matrices but is no target/],
  ])('%j', (changes, message) => {
    expect(() => read(changes)).toThrow(message)
  })

  it('a matrix without its partner, one that is no LoRA matrix, and a folder without files', () => {
    const [name] = Object.keys(matrices)
    expect(() => read({}, { [name]: a })).toThrow(/h\.0\.q has only one of its two matrices/)
    expect(() => read({}, { ...matrices, 'base_model.model.lm_head.weight': b })).toThrow(/lm_head\.weight is no LoRA/)
    rmSync(join(folder, 'adapter_model.safetensors'))
    expect(() => readPeftFolder(folder)).toThrow(/adapter_model\.safetensors: no such file/)
    expect(() => readPeftFolder(join(folder, 'absent'))).toThrow(/adapter_config\.json: no such file/)
  })

  it('while a pattern of targets, or a choice of layers, becomes the list of modules that it came to', () => {
    expect(read({ target_modules: '.*q$' }).config.targets).toEqual(['h.0.q'])
    expect(read({ layers_to_transform: [0] }).config.targets).toEqual(['h.0.q'])
    expect(read({ target_modules: 'all-linear' }).config.targets).toEqual(['h.0.q'])
    expect(read({}).config).toEqual({ rank: 2, alpha: 4, targets: ['q'] })
  })

  it('while how the base weight is stored changes nothing: PEFT keeps A and B as they are', () => {
    expect(read({ fan_in_fan_out: true })).toEqual(read({ fan_in_fan_out: false }))
  })
})

describe('ranks and scales by module', () => {
  const config: LoraConfig = {
    rank: 4,
    alpha: 8,
    targets: ['q', 'v', 'up'],
    rankPattern: { 'h\\.1\\.q': 2, q: 3, '^h.0.mlp.up$': 5 },
    alphaPattern: { 'h\\.\\d\\.v': 16, '^up': 99 },
  }
  const layers = ['h.0.q', 'h.1.q', 'h.11.q', 'h.0.v', 'h.0.mlp.up'].map((module) => ({
    module,
    inputs: 6,
    outputs: 7,
    inputsFirst: false,
  }))

  it.each([
    // what PEFT's get_pattern_key makes of the same patterns: the first one that matches the name or its end after a dot
    ['h.1.q', 2, 8],
    ['h.0.q', 3, 8],
    ['h.11.q', 3, 8],
    ['model.h.1.q', 2, 8],
    ['h.0.v', 4, 16],
    ['h.0.mlp.up', 5, 8],
    ['h.1.mlp.up', 4, 8],
    ['h.0.kq', 4, 8],
  ])('%s has rank %d and alpha %d', (module, rank, alpha) => {
    expect(rankOf(config, module)).toBe(rank)
    expect(scaleOf(config, module)).toBe(alpha / rank)
    expect(scaleOf({ ...config, rankStabilised: true }, module)).toBe(alpha / Math.sqrt(rank))
  })

  it('shape a fresh adapter, and come back from a PEFT folder', () => {
    const adapter = initialAdapter({ ...config, rankStabilised: true }, layers, seededRandom(1))
    expect(adapter.weights['h.1.q.lora_A.weight'].shape).toEqual([2, 6])
    expect(adapter.weights['h.0.mlp.up.lora_B.weight'].shape).toEqual([7, 5])
    writePeftFolder(folder, adapter, { baseModel: 'x', layers })
    expect(readPeftFolder(folder)).toEqual(adapter)
    expect(readConfig(folder)).toMatchObject({
      use_rslora: true,
      rank_pattern: config.rankPattern,
      alpha_pattern: config.alphaPattern,
    })
  })

  it('are of matrices in half precision too, which are read as float32', () => {
    const values = [0.5, -1.25, 3, 0.125, -2, 1]
    const half = (shape: number[]) => ({
      dtype: 'float16' as const,
      shape,
      data: narrowToFloat16(Float32Array.from(values)),
    })
    writeJson(join(folder, 'adapter_config.json'), { peft_type: 'LORA', r: 2, lora_alpha: 4, target_modules: ['q'] })
    writeSafetensors(join(folder, 'adapter_model.safetensors'), {
      'base_model.model.h.0.q.lora_A.weight': half([2, 3]),
      'base_model.model.h.0.q.lora_B.weight': half([3, 2]),
    })
    expect(readPeftFolder(folder).weights['h.0.q.lora_A.weight']).toEqual(float32([2, 3], values))
  })
})
