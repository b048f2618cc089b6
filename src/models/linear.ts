/** @file The linear layers of a model inside a graph: frozen weight, bias if there is one, adapter if it is adapted. */
import { trainedName } from '../adapters/every-weight.ts'
import { isTarget, type LoraConfig, matrixShapes, scaleOf } from '../adapters/lora.ts'
import { add, addProduct, checkpoint, matmul, storedProduct, storedRows } from '../tensor/ops/index.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import type { ForwardContext, ModelDescription } from './architecture.ts'
import { matrixOf, vectorOf } from './frozen.ts'

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
 */
export function linearLayers(
  model: ModelDescription,
  inputs: Record<string, Tensor>,
  lora?: LoraConfig,
  { fewTokens }: { fewTokens?: boolean } = {},
): Pick<ForwardContext, 'weight' | 'embed' | 'linear'> {
  const layers = new Set(model.linears.map(({ module }) => module))
  const weight = (name: string) => vectorOf(model, inputs, name)
  return {
    weight,
    embed: (name, ids) => storedRows(matrixOf(model, inputs, name), ids),
    linear: (module, x) => {
      if (!layers.has(module))
        throw new Error(`the architecture uses a linear layer that it does not declare: ${module}`)
      const frozen = matrixOf(model, inputs, `${module}.weight`)
      let y = storedProduct(x, frozen, { fewTokens })
      if (model.weights[`${module}.bias`]) y = add(y, weight(`${module}.bias`))
      if (!lora || !isTarget(lora, module)) return checkpoint(y, 'linear')
      const narrow = matmul(x, inputs[`${module}.lora_A.weight`], { transposeB: true }) // [tokens, rank]
      const adapted = addProduct(y, narrow, inputs[`${module}.lora_B.weight`], {
        transposeB: true,
        scale: scaleOf(lora, module),
      })
      return checkpoint(adapted, 'linear')
    },
  }
}
