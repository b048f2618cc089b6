/** @file A policy as one GGUF file, the adapter folded in, for llama.cpp and what is built on it. */
import { UserError } from '../errors.ts'
import { familyOfModel } from '../models/gguf/families.ts'
import { writeGguf } from '../models/gguf/write-gguf.ts'
import { describeModel } from '../models/language-model.ts'
import { modelFiles } from '../models/model-files.ts'
import type { Exporter } from './export-policy.ts'
import { scoreTexts } from './held-out.ts'
import { openMerged, type Policy } from './policy.ts'
import { type PrecisionName, precisions } from './precision.ts'

/** Types of the matrices, and how exactly each holds a number. */
const PRECISIONS = { f16: 'float16', q8_0: 'int8' } as const satisfies Record<string, PrecisionName>
export type GgufType = keyof typeof PRECISIONS
export const ggufTypes = Object.keys(PRECISIONS) as GgufType[]

export const ggufExporter = ({ type }: { type: GgufType }): Exporter => ({
  async check({ path, description }, target) {
    familyOfModel(description.modelType, path)
    if (!target.endsWith('.gguf'))
      throw new UserError({ what: 'not the name of a GGUF file', where: target, fix: `call it ${target}.gguf` })
  },
  write: (policy, target) => write(policy, target, type),
  async open(_policy, target, _texts, threads) {
    const copy: Policy = { path: target, description: describeModel(target) }
    const weights = openMerged(copy)
    const precision = PRECISIONS[type]
    return {
      where: target,
      precision,
      read: (name) => ({ values: weights.read(name).data as Float32Array, precision: precisions[precision] }),
      logProbabilities: (texts) => scoreTexts(copy, texts, threads),
      close: () => weights.close(),
    }
  },
})

function write(policy: Policy, target: string, type: GgufType): void {
  const files = modelFiles(policy.path)
  const merged = openMerged(policy)
  try {
    writeGguf(target, {
      config: files.config(),
      configPath: files.configPath,
      tokenizer: files.tokenizerSource(),
      chatTemplate: files.chatTemplate(),
      name: files.name,
      tensors: Object.entries(policy.description.weights).map(([name, shape]) => ({
        name,
        shape,
        parts: (elements) => partsOf(merged.read(name).data as Float32Array, elements),
      })),
      type: type === 'f16' ? 'F16' : 'Q8_0',
    })
  } finally {
    merged.close()
  }
}

function* partsOf(values: Float32Array, elements: number): Iterable<Float32Array> {
  for (let from = 0; from < values.length; from += elements) yield values.subarray(from, from + elements)
}
