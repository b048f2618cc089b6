/** @file The linear layers of a model inside a graph: frozen weight, bias if there is one, adapter if it is adapted. */
import { trainedName } from '../adapters/every-weight.ts'
import { isTarget, type LoraConfig, matrixShapes, scaleOf } from '../adapters/lora.ts'
import {
  add,
  addProduct,
  checkpoint,
  concat,
  integerProduct,
  matmul,
  split,
  storedProduct,
  storedRows,
} from '../tensor/ops/index.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import type { ForwardContext, ModelDescription } from './architecture.ts'
import { groupName, integersOf, matrixOf, vectorOf } from './frozen.ts'
import type { Observe } from './tape.ts'

/** The types of an adapter's arrays. */
export const adapterInputs = (model: ModelDescription, lora: LoraConfig): Record<string, TensorType> =>
  Object.fromEntries(
    Object.entries(adapterShapes(lora, model)).map(([name, shape]) => [name, { dtype: 'float32', shape }]),
  )

/** Names and shapes of an adapter's arrays. */
export const adapterShapes = (
  lora: LoraConfig,
  { weights, linears }: Pick<ModelDescription, 'weights' | 'linears'>,
): Record<string, readonly number[]> =>
  lora.everyWeight
    ? Object.fromEntries(Object.entries(weights).map(([name, shape]) => [trainedName(name), shape]))
    : matrixShapes(lora, linears)

/**
 * How an architecture's forward pass reaches weights and linear layers. Without `lora` it is the reference model.
 * @param fewTokens  it is meant for tens of tokens at a time, as while sampling
 * @param observe  is told what leaves them
 */
export function linearLayers(
  model: ModelDescription,
  inputs: Record<string, Tensor>,
  lora?: LoraConfig,
  { fewTokens, observe }: { fewTokens?: boolean; observe?: Observe } = {},
): Pick<ForwardContext, 'weight' | 'embed' | 'linear' | 'linears'> {
  const layers = new Set(model.linears.map(({ module }) => module))
  const isCopied = integersOf(inputs, model.head) !== undefined
  const weight = (name: string) => vectorOf(model, inputs, name)
  const products = (modules: readonly string[], x: Tensor): readonly Tensor[] => {
    const undeclared = modules.find((module) => !layers.has(module))
    if (undeclared) throw new Error(`the architecture uses a linear layer that it does not declare: ${undeclared}`)
    const matrices = modules.map((module) => matrixOf(model, inputs, `${module}.weight`))
    const copy = integersOf(inputs, groupName(modules))
    if (isCopied && !copy)
      throw new Error(`the architecture does not declare as readers of one x: ${modules.join(', ')}`)
    if (!copy) return matrices.map((matrix) => storedProduct(x, matrix, { fewTokens }))
    const outputs = matrices.map(({ shape }) => shape[0])
    return split(integerProduct(x, copy), outputs, 1)
  }
  const linears = (modules: readonly string[], x: Tensor) => {
    const adapted = lora ? narrowProducts(lora, inputs, modules, x) : new Map<string, Tensor>()
    const frozen = products(modules, x)
    const outputs = modules.map((module, i) => {
      const bias = `${module}.bias`
      const y = model.weights[bias] ? add(frozen[i], weight(bias)) : frozen[i]
      const narrow = adapted.get(module)
      if (!lora || !narrow) return checkpoint(y, 'linear')
      const options = { transposeB: true, scale: scaleOf(lora, module) }
      return checkpoint(addProduct(y, narrow, inputs[`${module}.lora_B.weight`], options), 'linear')
    })
    observe?.(modules, x, outputs)
    return outputs
  }
  return {
    weight,
    embed: (name, ids) => storedRows(matrixOf(model, inputs, name), ids),
    linear: (module, x) => linears([module], x)[0],
    linears,
  }
}

/**
 * x·Aᵀ [tokens, rank] of those modules that are adapted. All A are one matrix: the product reads x once, and so do its gradients,
 * and many narrow products are slower than one of their width.
 */
function narrowProducts(lora: LoraConfig, inputs: Record<string, Tensor>, modules: readonly string[], x: Tensor) {
  const adapted = modules.filter((module) => isTarget(lora, module))
  if (adapted.length === 0) return new Map<string, Tensor>()
  const matrices = adapted.map((module) => inputs[`${module}.lora_A.weight`])
  const narrow = matmul(x, concat(matrices, 0), { transposeB: true }) // [tokens, sum of ranks]
  const ranks = matrices.map(({ shape }) => shape[0])
  return new Map(split(narrow, ranks, 1).map((part, i) => [adapted[i], part]))
}
