/** @file A classifier's ONNX file, checked and opened in a thread of its own. */
import { readFileSync } from 'node:fs'
import { fromBinary } from '@bufbuild/protobuf'
import { UserError } from '../errors.ts'
import { fileProblem } from '../files.ts'
import type { HostTensor } from '../runtime/host-tensor.ts'
import { openRuntime } from '../runtime/node.ts'
import { type GraphProto, ModelProtoSchema } from '../tensor/onnx-proto.ts'

const INPUTS = ['input_ids', 'attention_mask', 'token_type_ids']
const OUTPUT = 'logits'

export type OpenClassifier = {
  /** Logits, [texts, labels] in one row, from int64 inputs [texts, length]; those that it does not read are left aside. */
  run(inputs: Record<string, HostTensor>): Promise<Float32Array>
  dispose(): Promise<void>
}

/** @throws UserError where the file is absent, no ONNX model, or does not take tokens and give logits */
export async function openClassifier(path: string): Promise<OpenClassifier> {
  const refuse = (what: string, fix: string) => new UserError({ what, where: path, fix })
  const bytes = readFile(path)
  const { input, output, initializer } = graphOf(bytes, path)
  const stored = new Set(initializer.map(({ name }) => name)) // older files list weights among the inputs
  const names = input.map(({ name }) => name).filter((name) => !stored.has(name))
  const outputs = output.map(({ name }) => name)
  const foreign = names.find((name) => !INPUTS.includes(name))
  if (foreign !== undefined || !names.includes('input_ids'))
    throw refuse(`it reads ${names.join(', ')}`, `give a model of ${INPUTS.join(', ')}`)
  if (!outputs.includes(OUTPUT))
    throw refuse(`it gives ${outputs.join(', ')} and no ${OUTPUT}`, 'give a model of text classification')

  const runtime = openRuntime()
  const type = { dtype: 'int64' as const, shape: ['texts', 'length'] }
  const inputs = Object.fromEntries(names.map((name) => [name, type]))
  try {
    const session = await runtime.open({ name: path, bytes, inputs, outputs })
    return {
      run: async (given) => {
        const { dtype, data } = (await session.run(given)).outputs[OUTPUT]
        if (dtype !== 'float32') throw refuse(`its ${OUTPUT} are ${dtype}`, 'export it with float32 outputs')
        return data as Float32Array
      },
      dispose: () => runtime.dispose(),
    }
  } catch (error) {
    await runtime.dispose()
    throw refuse(`the runtime cannot open it: ${(error as Error).message}`, 'export the model again')
  }
}

function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path)
  } catch (error) {
    throw fileProblem(error, path)
  }
}

function graphOf(bytes: Uint8Array, where: string): GraphProto {
  try {
    const { graph } = fromBinary(ModelProtoSchema, bytes)
    if (graph) return graph
  } catch {
    // what the parser says of bytes helps nobody
  }
  throw new UserError({ what: 'not an ONNX model', where, fix: 'get the file again' })
}
