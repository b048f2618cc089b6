/**
 * @file LoRA adapters as PEFT folders, in both directions. PEFT knows many variants of LoRA under the same names; those
 * that compute something else than `lora.ts` are refused by name, never read as if they were plain.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { readJson, writeJson } from '../files.ts'
import type { NamedTensors } from '../runtime/host-tensor.ts'
import { openSafetensors, writeSafetensors } from '../weights/safetensors.ts'
import { EVERY_WEIGHT_TYPE, everyWeightAdapter, weightsOf } from './every-weight.ts'
import { isTarget, type LinearLayer, type LoraAdapter, type LoraConfig, patternOf, rankOf } from './lora.ts'

const CONFIG_FILE = 'adapter_config.json'
const WEIGHTS_FILE = 'adapter_model.safetensors'
/** What a PEFT folder consists of. */
export const adapterFiles: readonly string[] = [CONFIG_FILE, WEIGHTS_FILE]

const PREFIX = 'base_model.model.' // PEFT's own two modules around the model

/** What the config says of the model: its name or path, and the linear layers that could be adapted. */
export type AdaptedModel = { baseModel: string; layers: readonly LinearLayer[] }

/**
 * Writes an adapter so that PEFT, transformers and `readPeftFolder` load it; one of every weight only the last does. The folder
 * is made where it is absent.
 */
export function writePeftFolder(folder: string, adapter: LoraAdapter, model: AdaptedModel): void {
  mkdirSync(folder, { recursive: true })
  if (adapter.config.everyWeight) writeEveryWeight(folder, adapter, model)
  else writeLora(folder, adapter, model)
}

function writeLora(folder: string, adapter: LoraAdapter, { baseModel, layers }: AdaptedModel): void {
  const { rank, alpha, targets, rankPattern = {}, alphaPattern = {}, rankStabilised = false } = adapter.config
  const named = Object.entries(adapter.weights).map(([name, tensor]) => [PREFIX + name, tensor])
  writeSafetensors(join(folder, WEIGHTS_FILE), Object.fromEntries(named))
  writeJson(join(folder, CONFIG_FILE), {
    alpha_pattern: alphaPattern,
    auto_mapping: null,
    base_model_name_or_path: baseModel,
    bias: 'none',
    fan_in_fan_out: layers.some(({ module, inputsFirst }) => inputsFirst && isTarget(adapter.config, module)),
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: alpha,
    lora_dropout: 0,
    modules_to_save: null,
    peft_type: 'LORA',
    r: rank,
    rank_pattern: rankPattern,
    revision: null,
    target_modules: targets,
    task_type: 'CAUSAL_LM',
    use_dora: false,
    use_rslora: rankStabilised,
  })
}

/** A folder of ours, which PEFT refuses by the name of its type. */
function writeEveryWeight(folder: string, adapter: LoraAdapter, { baseModel }: AdaptedModel): void {
  writeSafetensors(join(folder, WEIGHTS_FILE), Object.fromEntries(weightsOf(adapter)))
  writeJson(join(folder, CONFIG_FILE), { peft_type: EVERY_WEIGHT_TYPE, base_model_name_or_path: baseModel })
}

function readEveryWeight(folder: string): LoraAdapter {
  const file = openSafetensors(join(folder, WEIGHTS_FILE))
  try {
    return everyWeightAdapter(Object.fromEntries([...file.entries.keys()].map((name) => [name, file.read(name)])))
  } finally {
    file.close()
  }
}

/** Values by patterns of module names. What Python's expressions have and ours do not is refused, never read otherwise. */
const patterns = (value: z.ZodType<number>) =>
  z
    .record(z.string(), value)
    .refine((patterns) => Object.keys(patterns).every(isExpression), 'it has an expression that flowtune cannot read')
    .nullish()

function isExpression(pattern: string): boolean {
  try {
    return Boolean(patternOf(pattern))
  } catch {
    return false
  }
}

/** `fan_in_fan_out` is not read: it tells PEFT how the base weight is stored, which a model's own layers say here. */
const configSchema = z.looseObject({
  peft_type: z.literal('LORA', 'only LoRA adapters are supported'),
  task_type: z.literal('CAUSAL_LM', 'only adapters of causal language models are supported').nullish(),
  r: z.int().positive(),
  lora_alpha: z.number().positive(),
  rank_pattern: patterns(z.int().positive()),
  alpha_pattern: patterns(z.number().positive()),
  use_rslora: z.boolean().nullish(),
  target_modules: z.union([z.string(), z.array(z.string())]).nullish(),
  bias: z.literal('none', 'adapters with biases are not supported').default('none'),
  init_lora_weights: z
    .union([
      z.boolean(),
      z.string().regex(/^(?!pissa|olora|corda|loftq|lora_ga)/, 'it changes the base model: convert to plain LoRA'),
    ])
    .nullish(),
})

const typeSchema = z.looseObject({ peft_type: z.unknown() })

type PeftConfig = z.infer<typeof configSchema>

/** Settings under which PEFT computes, or changes the base model, otherwise. They must be absent, false or empty. */
const UNSUPPORTED = [
  'use_dora',
  'use_qalora',
  'use_bdlora',
  'lora_bias',
  'modules_to_save',
  'target_parameters',
  'trainable_token_indices',
  'layer_replication',
  'alora_invocation_tokens',
  'arrow_config',
  'corda_config',
  'kasa_config',
  'loftq_config',
  'lora_ga_config',
  'megatron_config',
  'monteclora_config',
  'velora_config',
]

/**
 * The adapter of a PEFT folder, its matrices as float32.
 * @throws UserError for a variant of LoRA that is not supported, and for matrices that are missing or of a wrong shape
 */
export function readPeftFolder(folder: string): LoraAdapter {
  const where = join(folder, CONFIG_FILE)
  if (readJson(where, typeSchema).peft_type === EVERY_WEIGHT_TYPE) return readEveryWeight(folder)
  const peft = readJson(where, configSchema)
  const used = UNSUPPORTED.find((key) => isSet(peft[key]))
  if (used) {
    throw new UserError({ what: `${used} is not supported`, where, fix: 'export the adapter as plain LoRA' })
  }
  const weights = readWeights(join(folder, WEIGHTS_FILE))
  return { config: checkedConfig(peft, weights, folder), weights }
}

const isSet = (value: unknown) => Boolean(typeof value === 'object' && value ? Object.keys(value).length : value)

/** The matrices under the names of `LoraAdapter`. */
function readWeights(path: string): NamedTensors {
  const file = openSafetensors(path)
  try {
    const named = [...file.entries.keys()].map((name) => {
      if (!/^base_model\.model\..+\.lora_[AB]\.weight$/.test(name)) {
        throw new UserError({ what: `${name} is no LoRA matrix`, where: path, fix: 'export the adapter as plain LoRA' })
      }
      return [name.slice(PREFIX.length), file.read(name)] as const
    })
    return Object.fromEntries(named)
  } finally {
    file.close()
  }
}

/** The config in our words, checked against the matrices. */
function checkedConfig(peft: PeftConfig, weights: NamedTensors, folder: string): LoraConfig {
  const modules = new Set(Object.keys(weights).map((name) => name.replace(/\.lora_[AB]\.weight$/, '')))
  const complaint = (what: string) => new UserError({ what, where: folder, fix: 'export the adapter again' })
  if (!modules.size) throw complaint('the adapter has no matrices')
  // A list of targets says all; a pattern, or a list that other settings narrow, is replaced by what it came to.
  const targets = Array.isArray(peft.target_modules) && !isNarrowed(peft) ? peft.target_modules : [...modules]
  const config: LoraConfig = {
    rank: peft.r,
    alpha: peft.lora_alpha,
    targets,
    ...(isSet(peft.rank_pattern) && { rankPattern: peft.rank_pattern! }),
    ...(isSet(peft.alpha_pattern) && { alphaPattern: peft.alpha_pattern! }),
    ...(peft.use_rslora && { rankStabilised: true }),
  }
  for (const module of modules) {
    const [a, b] = ['A', 'B'].map((side) => weights[`${module}.lora_${side}.weight`]?.shape)
    if (!a || !b) throw complaint(`${module} has only one of its two matrices`)
    const rank = rankOf(config, module)
    if (a.length !== 2 || b.length !== 2 || a[0] !== rank || b[1] !== rank) {
      throw complaint(`${module} has matrices [${a.join(', ')}] and [${b.join(', ')}], which do not fit rank ${rank}`)
    }
  }
  const stray = [...modules].find((module) => !isTarget(config, module))
  if (stray) throw complaint(`${stray} has matrices but is no target`)
  return config
}

const isNarrowed = (peft: PeftConfig) => isSet(peft.exclude_modules) || peft.layers_to_transform != null
