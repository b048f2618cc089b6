/** @file The value head: what is expected of a latent from here on, as a linear map of the policy's last hidden state. */
import { float32, type NamedTensors } from '../runtime/host-tensor.ts'
import { add, gather, matmul, reshape } from '../tensor/ops/index.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'

const WEIGHT = 'value.weight'
const BIAS = 'value.bias'

/** It begins by expecting nothing. */
export const initialValueHead = (width: number): NamedTensors => ({
  [WEIGHT]: float32([width, 1]),
  [BIAS]: float32([1]),
})

export const valueInputTypes = (width: number): Record<string, TensorType> => ({
  [WEIGHT]: { dtype: 'float32', shape: [width, 1] },
  [BIAS]: { dtype: 'float32', shape: [1] },
})

/** Values of states, [samples, states], from the hidden states [queries, width] that `stateQueries` point to. */
export function valuesOf(hidden: Tensor, stateQueries: Tensor, inputs: Record<string, Tensor>): Tensor {
  const ofQueries = add(matmul(hidden, inputs[WEIGHT]), inputs[BIAS])
  return gather(reshape(ofQueries, [hidden.shape[0]]), stateQueries)
}
