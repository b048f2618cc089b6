/** @file A model as a folder of float32 weights that transformers loads, whatever it is stored in. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeJson } from '../../src/files.ts'
import type { ModelDescription } from '../../src/models/architecture.ts'
import { turnedInCheckpoint } from '../../src/models/architectures.ts'
import { storedNames } from '../../src/models/language-model.ts'
import { modelFiles } from '../../src/models/model-files.ts'
import { sizeOf } from '../../src/runtime/host-tensor.ts'
import { writeStoredTensors } from '../../src/weights/safetensors.ts'
import { turned } from '../../src/weights/turned.ts'

/** @param path  a model folder or a GGUF file */
export function writeFloat32Checkpoint(folder: string, path: string, description: ModelDescription): void {
  mkdirSync(folder, { recursive: true })
  const files = modelFiles(path)
  const weights = files.openWeights()
  try {
    const names = storedNames(weights, description)
    const turnedNames = turnedInCheckpoint(description)
    const tensors = Object.entries(description.weights).map(([name, held]) => {
      const isTurned = turnedNames.has(name)
      const shape = isTurned ? held.toReversed() : held
      const read = () => {
        const tensor = weights.read(names.get(name)!)
        const { buffer, byteOffset, byteLength } = (isTurned ? turned(tensor) : tensor).data
        return [new Uint8Array(buffer, byteOffset, byteLength)]
      }
      return [name, { dtype: 'F32', shape, bytes: 4 * sizeOf(shape), read }] as const
    })
    writeStoredTensors(join(folder, 'model.safetensors'), tensors)
  } finally {
    weights.close()
  }
  writeJson(join(folder, 'config.json'), files.config())
}
