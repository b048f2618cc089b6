import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { writeJson } from '../files.ts'
import { float32 } from '../runtime/host-tensor.ts'
import { writeSafetensors } from '../weights/safetensors.ts'
import type { LinearLayer, LoraAdapter } from './lora.ts'
import { readPeftFolder, writePeftFolder } from './peft.ts'

const path = (fromRoot: string) => fileURLToPath(new URL(`../../${fromRoot}`, import.meta.url))
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

const everyAdapter = existsSync(path('../shared/golden/adapters'))
  ? '../shared/golden/adapters'
  : 'test/golden/adapters'

describe('adapters that PEFT wrote', () => {
  it.each(readdirSync(path(everyAdapter)))('%s comes back as PEFT wrote it', (name) => {
    const adapter = readPeftFolder(path(`${everyAdapter}/${name}`))
    expect(adapter.config).toMatchObject({ rank: 3, alpha: 6 })
    const golden = readConfig(path(`${everyAdapter}/${name}`))
    writePeftFolder(folder, adapter, { baseModel: 'x', layers: layersOf(adapter, golden.fan_in_fan_out) })
    expect(readPeftFolder(folder)).toEqual(adapter)
    expect(golden).toMatchObject({ ...readConfig(folder), base_model_name_or_path: null })
    const bytes = (at: string) => readFileSync(join(at, 'adapter_model.safetensors'))
    expect(bytes(folder).equals(bytes(path(`${everyAdapter}/${name}`)))).toBe(true)
  })

  it('name their matrices by the modules of the model', () => {
    const { weights } = readPeftFolder(path('test/golden/adapters/gpt2'))
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
    [{ use_rslora: true }, /use_rslora is not supported/],
    [{ rank_pattern: { q: 8 } }, /rank_pattern is not supported/],
    [{ alpha_pattern: { q: 8 } }, /alpha_pattern is not supported/],
    [{ modules_to_save: ['lm_head'] }, /modules_to_save is not supported/],
    [{ init_lora_weights: 'pissa_niter_16' }, /init_lora_weights: it changes the base model/],
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
    expect(read({}).config).toEqual({ rank: 2, alpha: 4, targets: ['q'] })
  })
})
