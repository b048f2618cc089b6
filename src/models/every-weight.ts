/** @file The weights of a model, to be trained themselves. */
import { everyWeightAdapter } from '../adapters/every-weight.ts'
import type { LoraAdapter } from '../adapters/lora.ts'
import { type ModelOutline, storedNames } from './language-model.ts'
import { modelFiles } from './model-files.ts'

/** An adapter of every weight that changes nothing yet: the weights of the checkpoint, float32, however the model is held. */
export function everyWeightOf({ path, description }: Pick<ModelOutline, 'path' | 'description'>): LoraAdapter {
  const weights = modelFiles(path).openWeights()
  try {
    const names = storedNames(weights, description)
    const read = (name: string) => weights.read(names.get(name)!)
    return everyWeightAdapter(Object.fromEntries(Object.keys(description.weights).map((name) => [name, read(name)])))
  } finally {
    weights.close()
  }
}
