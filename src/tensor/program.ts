/** @file A function of tensors, compiled once: symbolic inputs in, ONNX bytes out. */
import type { Program } from '../runtime/session.ts'
import { toOnnx } from './onnx.ts'
import { input } from './ops/source.ts'
import type { Tensor, TensorType } from './tensor.ts'

/**
 * Builds a program. Inputs that no output depends on are left out, so a program declares exactly what it reads.
 * @param types of the inputs, by name; a name in a shape is a size that may change from run to run
 * @param build from symbolic inputs to named outputs
 * @param derived what makes some of the inputs: `constants` become part of this program, `shared` are given to it as to others
 */
export function buildProgram(
  name: string,
  types: Record<string, TensorType>,
  build: (inputs: Record<string, Tensor>) => Record<string, Tensor>,
  { constants, shared = [] }: Pick<Program, 'constants' | 'shared'> = {},
): Program {
  const outputs = build(Object.fromEntries(Object.entries(types).map(([key, type]) => [key, input(key, type)])))
  const both = Object.keys(outputs).find((key) => key in types)
  if (both) throw new Error(`${name}: "${both}" is the name of an input and of an output`)
  const { bytes, used } = toOnnx(types, outputs, new Set(constants?.outputs))
  const inputs = Object.fromEntries(Object.entries(types).filter(([key]) => used.has(key)))
  const program = { name, bytes, inputs, outputs: Object.keys(outputs) }
  return { ...program, ...(constants && { constants }), ...(shared.length > 0 && { shared }) }
}
