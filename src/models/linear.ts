/** @file The linear layers of a model inside a graph: frozen weight, bias if there is one, adapter if it is adapted. */
import { isTarget, type LoraConfig, matrixShapes, scaleOf } from '../adapters/lora.ts'
import { add, addProduct, checkpoint, matmul, storedProduct, storedRows } from '../tensor/ops/index.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import type { ForwardContext, ModelDescription } from './architecture.ts'
import { frozenMatrix } from './frozen.ts'

/** The types of an adapter's matrices. */
export const adapterInputs = (model: ModelDescription, lora: LoraConfig): Record<string, TensorType> =>
  Object.fromEntries(
    Object.entries(matrixShapes(lora, model.linears)).map(([name, shape]) => [name, { dtype: 'float32', shape }]),
  )

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
  const layers = new Map(model.linears.map((layer) => [layer.module, layer]))
  const weight = (name: string) => {
    if (!inputs[name]) throw new Error(`the architecture asks for a weight that it does not declare: ${name}`)
    return inputs[name]
  }
  return {
    weight,
    embed: (name, ids) => storedRows(frozenMatrix(model, inputs, name), ids),
    linear: (module, x) => {
      const layer = layers.get(module)
      if (!layer) throw new Error(`the architecture uses a linear layer that it does not declare: ${module}`)
      const frozen = frozenMatrix(model, inputs, `${module}.weight`)
      let y = storedProduct(x, frozen, { transposed: !layer.inputsFirst, fewTokens })
      if (model.weights[`${module}.bias`]) y = add(y, weight(`${module}.bias`))
      if (!lora || !isTarget(lora, module)) return checkpoint(y, 'linear')
      const narrow = matmul(x, weight(`${module}.lora_A.weight`), { transposeB: true }) // [tokens, rank]
      const adapted = addProduct(y, narrow, weight(`${module}.lora_B.weight`), {
        transposeB: true,
        scale: scaleOf(lora, module),
      })
      return checkpoint(adapted, 'linear')
    },
  }
}
