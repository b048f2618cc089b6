/** @file A function of tensors, compiled once: symbolic inputs in, ONNX bytes out. */
import type { Program } from '../runtime/session.ts'
import { toOnnx } from './onnx.ts'
import { input } from './ops/source.ts'
import type { Tensor, TensorType } from './tensor.ts'

/**
 * Builds a program. Inputs that no output depends on are left out, so a program declares exactly what it reads.
 * @param inputs types by name; a name in a shape is a size that may change from run to run
 * @param build from symbolic inputs to named outputs
 */
export function buildProgram<Name extends string>(
  name: string,
  inputs: Record<Name, TensorType>,
  build: (inputs: Record<Name, Tensor>) => Record<string, Tensor>,
): Program {
  const symbols = Object.entries<TensorType>(inputs).map(([key, type]) => [key, input(key, type)])
  const outputs = build(Object.fromEntries(symbols))
  const { bytes, used } = toOnnx(inputs, outputs)
  const declared = Object.entries<TensorType>(inputs).filter(([key]) => used.has(key))
  return { name, bytes, inputs: Object.fromEntries(declared), outputs: Object.keys(outputs) }
}
