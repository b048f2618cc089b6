/** @file The linear layers of a model inside a graph: frozen weight, bias if there is one, adapter if it is adapted. */
import { isTarget, type LoraConfig, loraScale } from '../adapters/lora.ts'
import { add, gather, matmul } from '../tensor/ops/index.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import type { ForwardContext, ModelDescription } from './architecture.ts'

const frozen = (shape: readonly number[]): TensorType => ({ dtype: 'float32', shape })

/** The types of a model's weights, as inputs of every program. */
export const weightInputs = (model: ModelDescription): Record<string, TensorType> =>
  Object.fromEntries(Object.entries(model.weights).map(([name, shape]) => [name, frozen(shape)]))

/** The types of an adapter's matrices: A [rank, inputs] and B [outputs, rank] for every adapted layer. */
export const adapterInputs = (model: ModelDescription, lora: LoraConfig): Record<string, TensorType> =>
  Object.fromEntries(
    model.linears
      .filter(({ module }) => isTarget(lora, module))
      .flatMap(({ module, inputs, outputs }) => [
        [`${module}.lora_A.weight`, frozen([lora.rank, inputs])],
        [`${module}.lora_B.weight`, frozen([outputs, lora.rank])],
      ]),
  )

/** How an architecture's forward pass reaches weights and linear layers. Without `lora` it is the reference model. */
export function linearLayers(
  model: ModelDescription,
  inputs: Record<string, Tensor>,
  lora?: LoraConfig,
): Pick<ForwardContext, 'weight' | 'embed' | 'linear'> {
  const layers = new Map(model.linears.map((layer) => [layer.module, layer]))
  const weight = (name: string) => {
    if (!inputs[name]) throw new Error(`the architecture asks for a weight that it does not declare: ${name}`)
    return inputs[name]
  }
  return {
    weight,
    embed: (name, ids) => gather(weight(name), ids),
    linear: (module, x) => {
      const layer = layers.get(module)
      if (!layer) throw new Error(`the architecture uses a linear layer that it does not declare: ${module}`)
      let y = matmul(x, weight(`${module}.weight`), { transposeB: !layer.inputsFirst })
      if (model.weights[`${module}.bias`]) y = add(y, weight(`${module}.bias`))
      if (!lora || !isTarget(lora, module)) return y
      const narrow = matmul(x, weight(`${module}.lora_A.weight`), { transposeB: true }) // [tokens, rank]
      return add(y, matmul(narrow, weight(`${module}.lora_B.weight`), { transposeB: true, scale: loraScale(lora) }))
    },
  }
}
