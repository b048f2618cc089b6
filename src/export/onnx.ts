/**
 * @file A policy as an ONNX model for transformers.js: onnx/model.onnx with the merged weights, and the files of the
 * model folder beside it.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeJson } from '../files.ts'
import { modelFiles } from '../models/model-files.ts'
import type { HostTensor } from '../runtime/host-tensor.ts'
import { decoderGraph } from './decoder-graph.ts'
import type { Exporter, OpenExport } from './export-policy.ts'
import type { Texts } from './held-out.ts'
import { type FileLimits, type Initializer, readInitializers, writeOnnx } from './onnx-file.ts'
import { type OnnxReader, readerLogProbabilities } from './onnx-reader.ts'
import { decodeStored, type OnnxDtype, readStored, type StoredForm, storedArrays, storedForms } from './onnx-weights.ts'
import { openOnnxRuntime } from './onnxruntime-reader.ts'
import { type MergedWeights, openMerged, type Policy } from './policy.ts'
import { type PrecisionName, precisions } from './precision.ts'
import { copySideFiles, requireFolder } from './side-files.ts'
import { loadTransformersJs, openTransformersJs, verifyTokenizer } from './transformers-js.ts'

/** The names under which transformers.js looks for a model of each type. */
const MODEL_FILES: Record<OnnxDtype, string> = {
  fp32: 'model.onnx',
  fp16: 'model_fp16.onnx',
  q8: 'model_quantized.onnx',
}
const PRECISIONS: Record<OnnxDtype, PrecisionName> = { fp32: 'float32', fp16: 'float16', q8: 'int8' }

export const onnxPath = (folder: string, dtype: OnnxDtype) => join(folder, 'onnx', MODEL_FILES[dtype])

/** What reads an export to verify it. */
export const onnxReaders = ['transformers.js', 'onnxruntime'] as const

type OnnxOptions = { dtype: OnnxDtype; reader: (typeof onnxReaders)[number] }

export const onnxExporter = ({ dtype, reader }: OnnxOptions): Exporter => ({
  async check({ path }) {
    requireFolder(path)
    if (reader === 'transformers.js') await loadTransformersJs()
  },
  write: (policy, folder) => writeOnnxFolder(policy, folder, dtype),
  async open(policy, folder, texts, threads) {
    if (reader === 'onnxruntime') {
      const runtime = await openOnnxRuntime(onnxPath(folder, dtype), policy.description, threads)
      return readOnnxFolder(policy, folder, dtype, runtime)
    }
    await compareTokenizers(policy, folder, texts)
    return readOnnxFolder(policy, folder, dtype, await openTransformersJs(folder, dtype, threads))
  },
})

/** Writes the folder. */
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
export function readOnnxFolder(policy: Policy, folder: string, dtype: OnnxDtype, reader: OnnxReader): OpenExport {
  const { description } = policy
  const forms = storedForms(decoderGraph(description).graph!, description, dtype)
  const stored = readInitializers(onnxPath(folder, dtype))
  return {
    where: folder,
    precision: PRECISIONS[dtype],
    read: (name) => {
      const form = forms.get(name)!
      const shape = description.weights[name]
      const arrays = storedArrays(name, shape, form).map((array) => stored.get(array.name)!(array.dtype as 'float32'))
      return { values: decodeStored(arrays, form), precision: precisions[form] }
    },
    logProbabilities: (texts) => readerLogProbabilities(reader, texts, description.dimensions.vocabulary),
    close: () => reader.dispose(),
  }
}

/** What transformers.js reads as special tokens in a text is meant here too. */
async function compareTokenizers({ path }: Policy, folder: string, texts: Texts): Promise<void> {
  if (!existsSync(join(folder, 'tokenizer.json'))) return
  const tokenizer = await modelFiles(path).tokenizer()
  const plain = texts.map((tokens) => tokenizer.decode(tokens.filter((token) => !tokenizer.specialTokens.has(token))))
  await verifyTokenizer(folder, plain, (text) => tokenizer.encode(text, { allowSpecial: true }))
}
