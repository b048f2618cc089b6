/** @file What is exported: a model with the adapter folded into its weights, read one tensor at a time. */
import { weightsOf } from '../adapters/every-weight.ts'
import { isTarget, type LoraAdapter } from '../adapters/lora.ts'
import { mergeAdapter } from '../adapters/merge.ts'
import type { ModelDescription } from '../models/architecture.ts'
import { storedNames } from '../models/language-model.ts'
import { modelFiles } from '../models/model-files.ts'
import type { HostTensor } from '../runtime/host-tensor.ts'

export type Policy = {
  /** The model's folder or file. */
  path: string
  description: ModelDescription
  adapter?: LoraAdapter
}

/** Open weights of a policy. Whoever opened them closes them. */
export type MergedWeights = {
  /** Our name → the checkpoint's. */
  storedNames: ReadonlyMap<string, string>
  /** W + ΔW in float32, in its shape in the description. */
  read(name: string): HostTensor
  isAdapted(name: string): boolean
  close(): void
}

/** @throws UserError where the weights cannot be read, or are not those that the description asks for */
export function openMerged({ path, description, adapter }: Policy): MergedWeights {
  const weights = modelFiles(path).openWeights()
  try {
    const names = storedNames(weights, description)
    const adapted = new Map(
      description.linears
        .filter(({ module }) => adapter && isTarget(adapter.config, module))
        .map((layer) => [`${layer.module}.weight`, layer]),
    )
    const whole = new Map(adapter?.config.everyWeight ? weightsOf(adapter) : [])
    return {
      storedNames: names,
      read: (name) => {
        const trained = whole.get(name)
        if (trained) return { ...trained, data: trained.data.slice() }
        const weight = weights.read(names.get(name)!)
        const layer = adapted.get(name)
        if (adapter && layer) mergeAdapter(weight, layer, adapter)
        return weight
      },
      isAdapted: (name) => adapted.has(name) || whole.has(name),
      close: () => weights.close(),
    }
  } catch (error) {
    weights.close()
    throw error
  }
}
