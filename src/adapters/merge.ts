import type { HostTensor } from '../runtime/host-tensor.ts'
import { isTarget, type LinearLayer, type LoraAdapter, scaleOf } from './lora.ts'

/**
 * W + scale · B·A of a layer, written over W: a float32 weight [outputs, inputs]. Corrections are summed in double precision
 * and rounded once, with W. A layer that the adapter does not adapt stays as it is.
 */
export function mergeAdapter(weight: HostTensor, { module, inputs, outputs }: LinearLayer, adapter: LoraAdapter): void {
  if (!isTarget(adapter.config, module)) return
  const a = adapter.weights[`${module}.lora_A.weight`].data as Float32Array // [rank, inputs]
  const b = adapter.weights[`${module}.lora_B.weight`].data as Float32Array // [outputs, rank]
  const scale = scaleOf(adapter.config, module)
  const rank = a.length / inputs
  const values = weight.data as Float32Array
  const correction = new Float64Array(inputs) // of one output
  for (let output = 0; output < outputs; output++) {
    correction.fill(0)
    for (let r = 0; r < rank; r++) {
      const factor = scale * b[output * rank + r]
      const row = r * inputs
      for (let input = 0; input < inputs; input++) correction[input] += factor * a[row + input]
    }
    const first = output * inputs
    for (let input = 0; input < inputs; input++) values[first + input] += correction[input]
  }
}
