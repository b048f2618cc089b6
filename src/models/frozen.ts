/**
 * @file The weights of a model inside a graph: the frozen ones, unless an adapter trains them as a whole. Matrices may be stored in fewer bits (`model.storage`); vectors
 * are always float32: they are small, and norms need them exact.
 */
import { trainedName } from '../adapters/every-weight.ts'
import type { IntegerMatrix, StoredMatrix } from '../tensor/ops/index.ts'
import { fitsBlocks, type Storage, storedTypes } from '../tensor/ops/stored.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import type { ModelDescription } from './architecture.ts'

/**
 * How a weight is stored. At 4 bits only the linear layers are: the rows of embeddings and head are single tokens, which
 * have no other rows to make up for their errors. Where blocks do not fit, half precision stands in.
 */
export function storageOf({ storage, weights, linears }: ModelDescription, name: string): Storage {
  const shape = weights[name]
  if (shape.length !== 2 || storage === 'float32') return 'float32'
  if (storage === 'float16' || !fitsBlocks(shape[1])) return 'float16'
  return linears.some(({ module }) => `${module}.weight` === name) ? storage : 'int8'
}

/** The types of a model's weights, as inputs of every program. */
export function weightInputs(model: ModelDescription): Record<string, TensorType> {
  const types: Record<string, TensorType> = {}
  for (const [name, shape] of Object.entries(model.weights)) {
    const parts: Record<string, TensorType> =
      shape.length === 2 ? storedTypes(storageOf(model, name), shape) : { '': { dtype: 'float32', shape } }
    for (const [part, type] of Object.entries(parts)) types[`${name}${part}`] = type
  }
  return types
}

/** What the arrays of a matrix's int8 copy have after its name, and those of the transposed one's; `int8-copy.ts` makes them. */
export const integerParts = {
  forward: ['.integers', '.integerScale'],
  back: ['.integersBack', '.integerScaleBack'],
} as const

/** A weight matrix of a model, from the inputs of a program: that of the adapter, where it has one. */
export function matrixOf(model: ModelDescription, inputs: Record<string, Tensor>, name: string): StoredMatrix {
  const shape = model.weights[name]
  if (shape?.length !== 2) throw new Error(`the architecture asks for a matrix that it does not declare: ${name}`)
  const trained = inputs[trainedName(name)]
  if (trained) return { storage: 'float32', shape, parts: [trained] }
  const storage = storageOf(model, name)
  const parts = Object.keys(storedTypes(storage, shape)).map((part) => inputs[`${name}${part}`])
  const integers = integersOf(inputs, name)
  return { storage, shape, parts, ...(integers && { integers }) }
}

/** What the int8 copy of linear layers that read the same x is called, which is one matrix. */
export const groupName = (modules: readonly string[]) => `${modules.join('+')}.weight`

/** The int8 copy of a matrix, or of several that are one, from the inputs of a program; undefined where it has none. */
export function integersOf(inputs: Record<string, Tensor>, name: string): IntegerMatrix | undefined {
  const copy = (way: keyof typeof integerParts) => {
    const [values, scale] = integerParts[way].map((part) => inputs[`${name}${part}`])
    return values && { values, scale }
  }
  const [forward, back] = [copy('forward'), copy('back')]
  return forward && { ...forward, back }
}

/** The same of a vector. */
export function vectorOf({ weights }: ModelDescription, inputs: Record<string, Tensor>, name: string): Tensor {
  if (!weights[name]) throw new Error(`the architecture asks for a weight that it does not declare: ${name}`)
  return inputs[trainedName(name)] ?? inputs[name]
}
