/** @file A policy as one GGUF file for llama.cpp: the merged weights, the tokenizer and the chat template. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { UserError } from '../errors.ts'
import { familyOfModel } from '../models/gguf/families.ts'
import { type GgufModel, writeGguf } from '../models/gguf/write-gguf.ts'
import { describeModel } from '../models/language-model.ts'
import { modelFiles } from '../models/model-files.ts'
import type { Exporter } from './export-policy.ts'
import { scoreTexts } from './held-out.ts'
import { openMerged, type Policy } from './policy.ts'
import { type PrecisionName, precisions } from './precision.ts'

/** llama.cpp's names of them, as it writes them in the names of files. */
export const ggufTypes = ['f16', 'q8_0'] as const
export type GgufType = (typeof ggufTypes)[number]

const TYPES: Record<GgufType, { written: GgufModel['type']; precision: PrecisionName }> = {
  f16: { written: 'F16', precision: 'float16' },
  q8_0: { written: 'Q8_0', precision: 'int8' },
}

export const ggufExporter = ({ type }: { type: GgufType }): Exporter => ({
  async check({ path: model }, path) {
    if (!path.toLowerCase().endsWith('.gguf'))
      throw new UserError({ what: 'a GGUF file is known by its name', where: path, fix: 'let it end with .gguf' })
    const { config, configPath } = modelFiles(model)
    const json = config() as { model_type?: unknown }
    familyOfModel(String(json.model_type), configPath).describe(json, configPath) // refuses what llama.cpp cannot hold
  },
  write: (policy, path) => writeMergedGguf(policy, path, TYPES[type].written),
  async open(policy, path, _texts, threads) {
    const copy: Policy = { path, description: describeModel(path) }
    if (hasTokenizer(policy.path)) await modelFiles(path).tokenizer()
    const weights = openMerged(copy)
    return {
      where: path,
      precision: TYPES[type].precision,
      read(name) {
        const { shape, data } = weights.read(name)
        // Vectors are float32. Rows that do not divide into blocks are F16, which is the more exact.
        return {
          values: data as Float32Array,
          precision: precisions[shape.length === 1 ? 'float32' : TYPES[type].precision],
        }
      },
      logProbabilities: (texts) => scoreTexts(copy, texts, threads),
      close: () => weights.close(),
    }
  },
})

function writeMergedGguf(policy: Policy, path: string, type: GgufModel['type']): void {
  const { name, config, configPath, tokenizerSource, chatTemplate } = modelFiles(policy.path)
  const merged = openMerged(policy)
  try {
    writeGguf(path, {
      config: config(),
      configPath,
      name,
      type,
      ...(hasTokenizer(policy.path) && { tokenizer: tokenizerSource(), chatTemplate: chatTemplate() }),
      tensors: Object.entries(policy.description.weights).map(([name, shape]) => ({
        name,
        shape,
        parts: (elements) => cut(merged.read(name).data as Float32Array, elements),
      })),
    })
  } finally {
    merged.close()
  }
}

function* cut(values: Float32Array, elements: number): Generator<Float32Array> {
  for (let start = 0; start < values.length; start += elements) yield values.subarray(start, start + elements)
}

/** Does a model bring a tokenizer along? A folder may be without one; a GGUF file says so itself. */
function hasTokenizer(model: string): boolean {
  const { path, configPath } = modelFiles(model)
  return configPath === path || existsSync(join(dirname(configPath), 'tokenizer.json'))
}
