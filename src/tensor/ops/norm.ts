/** @file Layer normalisation and its root-mean-square form, over the last axis. */
import { defineOp } from '../define-op.ts'
import { type Shape, shapeError } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import { add, exp, log, mul, sub } from './elementwise.ts'
import { sumLast } from './reduce.ts'
import { sumTo } from './source.ts'

const widthOf = (shape: Shape): number => {
  const width = shape[shape.length - 1]
  if (typeof width !== 'number') throw shapeError('a normalised axis must have a fixed extent', shape)
  return width
}
const statistics = (shape: Shape): Shape => [...shape.slice(0, -1), 1]

export const rmsNormOp = defineOp<{ epsilon: number }>('rmsNorm', {
  outputs: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  emit: (onnx, [x, weight], { epsilon }) => [
    onnx.node('SimplifiedLayerNormalization', [x, weight], { axis: -1, epsilon: { float: epsilon } }),
  ],
  gradient: ({ inputs: [x, weight], attributes: { epsilon }, upstream: g }) => {
    // The node has 1/rms(x) as a second output, but ONNX Runtime 1.30 on WebGPU gives the mean of x there.
    const meanSquare = mul(sumLast(mul(x, x)), 1 / widthOf(x.shape))
    const inverse = exp(mul(log(add(meanSquare, epsilon)), -0.5)) // 1/rms
    const unit = mul(x, inverse) // x/rms
    const scaled = mul(g, weight)
    const along = mul(sumLast(mul(scaled, unit)), 1 / widthOf(x.shape)) // the part that only changes the norm
    return [mul(inverse, sub(scaled, mul(unit, along))), sumTo(mul(g, unit), weight.shape)]
  },
})

export const layerNormOp = defineOp<{ epsilon: number }>('layerNorm', {
  // outputs: y, mean(x), and 1/σ(x), kept for the gradient
  outputs: ([x]) => [
    { shape: x.shape, dtype: x.dtype },
    { shape: statistics(x.shape), dtype: x.dtype },
    { shape: statistics(x.shape), dtype: x.dtype },
  ],
  emit: (onnx, [x, weight, bias], { epsilon }) =>
    onnx.nodes('LayerNormalization', [x, weight, bias], 3, { axis: -1, epsilon: { float: epsilon } }),
  gradient: ({ inputs: [x, weight, bias], outputs: [, mean, inverse], upstream: g }) => {
    const unit = mul(sub(x, mean), inverse)
    const scaled = mul(g, weight)
    const meanOf = (t: Tensor) => mul(sumLast(t), 1 / widthOf(x.shape))
    const dx = mul(inverse, sub(sub(scaled, meanOf(scaled)), mul(unit, meanOf(mul(scaled, unit)))))
    return [dx, sumTo(mul(g, unit), weight.shape), sumTo(g, bias.shape)]
  },
})

/** x / √(mean x² + ε) · weight (Llama). */
export const rmsNorm = (x: Tensor, weight: Tensor, epsilon: number): Tensor => rmsNormOp([x, weight], { epsilon })
/** (x − mean) / √(variance + ε) · weight + bias (GPT-2). */
export const layerNorm = (x: Tensor, weight: Tensor, bias: Tensor, epsilon: number): Tensor =>
  layerNormOp([x, weight, bias], { epsilon })
