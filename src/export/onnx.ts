/**
 * @file A policy as an ONNX model for transformers.js: onnx/model.onnx with the merged weights, and the files of the
 * model folder beside it.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeJson } from '../files.ts'
import { modelFiles } from '../models/model-files.ts'
import type { HostTensor } from '../runtime/host-tensor.ts'
import { decoderGraph } from './decoder-graph.ts'
import { type FileLimits, type Initializer, readInitializers, writeOnnx } from './onnx-file.ts'
import { type OnnxReader, readerLogProbabilities } from './onnx-reader.ts'
import { decodeStored, type OnnxDtype, readStored, type StoredForm, storedArrays, storedForms } from './onnx-weights.ts'
import { type MergedWeights, openMerged, type Policy } from './policy.ts'
import { type PrecisionName, precisions } from './precision.ts'
import { copySideFiles } from './side-files.ts'
import type { ReadBack } from './verify.ts'

/** The names under which transformers.js looks for a model of each type. */
const MODEL_FILES: Record<OnnxDtype, string> = {
  fp32: 'model.onnx',
  fp16: 'model_fp16.onnx',
  q8: 'model_quantized.onnx',
}
const PRECISIONS: Record<OnnxDtype, PrecisionName> = { fp32: 'float32', fp16: 'float16', q8: 'int8' }

export const onnxPath = (folder: string, dtype: OnnxDtype) => join(folder, 'onnx', MODEL_FILES[dtype])

/** Writes the folder. @throws UserError where the model is no folder, whose files are needed beside the graph */
export function writeOnnxFolder(policy: Policy, folder: string, dtype: OnnxDtype, limits?: FileLimits): void {
  const { path, config } = modelFiles(policy.path)
  copySideFiles(path, folder)
  mkdirSync(join(folder, 'onnx'))
  const { description } = policy
  const model = decoderGraph(description)
  const forms = storedForms(model.graph!, description, dtype)
  readStored(model.graph!, description, forms)
  const merged = openMerged(policy)
  try {
    const files = writeOnnx(onnxPath(folder, dtype), model, initializersOf(policy, merged, forms), limits)
    writeJson(join(folder, 'config.json'), {
      ...(config() as object),
      'transformers.js_config': {
        dtype, // what is there is taken, unless the caller asks for something else
        ...(files > 0 && { use_external_data_format: { [MODEL_FILES[dtype]]: files } }),
      },
    })
  } finally {
    merged.close()
  }
}

function initializersOf(
  { description: { weights } }: Policy,
  merged: MergedWeights,
  forms: ReadonlyMap<string, StoredForm>,
): Initializer[] {
  let latest: { name: string; weight: HostTensor } | undefined // the arrays of a weight follow each other
  const read = (name: string) => {
    if (latest?.name !== name) latest = { name, weight: merged.read(name) }
    return latest.weight.data as Float32Array
  }
  return [...forms].flatMap(([weight, form]) =>
    storedArrays(weight, weights[weight], form).map(({ name, dtype, shape, encode }) => ({
      name,
      dtype,
      shape,
      load: () => encode(read(weight)),
    })),
  )
}

/** The export as a reader computes it. */
export function readOnnxFolder(policy: Policy, folder: string, dtype: OnnxDtype, reader: OnnxReader): ReadBack {
  const path = onnxPath(folder, dtype)
  const { description } = policy
  const forms = storedForms(decoderGraph(description).graph!, description, dtype)
  const stored = readInitializers(path)
  return {
    where: folder,
    precision: PRECISIONS[dtype],
    read: (name) => {
      const form = forms.get(name)!
      const shape = description.weights[name]
      const arrays = storedArrays(name, shape, form).map((array) => stored.get(array.name)!(array.dtype as 'float32'))
      return { values: decodeStored(arrays, shape, form), precision: precisions[form.storage] }
    },
    logProbabilities: (texts) => readerLogProbabilities(reader, texts, description.dimensions.vocabulary),
  }
}
