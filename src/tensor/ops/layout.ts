/** @file Moving elements without changing them. */
import { defineOp } from '../define-op.ts'
import { axisOf, type Dim, type Shape, sameShape, shapeError, sumDims } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import { zeros } from './source.ts'

export const transposeOp = defineOp<{ order: readonly number[] }>('transpose', {
  outputs: ([x], { order }) => [{ shape: order.map((axis) => x.shape[axis]), dtype: x.dtype }],
  emit: (onnx, [x], { order }) => [onnx.node('Transpose', [x], { perm: order })],
  gradient: ({ upstream, attributes: { order } }) => [
    transpose(
      upstream,
      order.map((_, axis) => order.indexOf(axis)),
    ),
  ],
})

/** Axes in another order: axis i of the result is axis order[i] of x. */
export const transpose = (x: Tensor, order: readonly number[]): Tensor => transposeOp([x], { order })

const withAxis = (shape: Shape, axis: number, dim: Dim): Shape => shape.map((old, i) => (i === axis ? dim : old))

export const concatOp = defineOp<{ axis: number }>('concat', {
  outputs: (xs, { axis }) => {
    for (const x of xs)
      if (!sameShape(withAxis(x.shape, axis, 0), withAxis(xs[0].shape, axis, 0)))
        throw shapeError('cannot concatenate', xs[0].shape, x.shape)
    return [{ shape: withAxis(xs[0].shape, axis, sumDims(...xs.map((x) => x.shape[axis]))), dtype: xs[0].dtype }]
  },
  emit: (onnx, xs, { axis }) => [xs.length === 1 ? xs[0] : onnx.node('Concat', xs, { axis })],
  gradient: ({ inputs, upstream, attributes: { axis } }) => [
    ...split(
      upstream,
      inputs.map((x) => x.shape[axis]),
      axis,
    ),
  ],
})

/** One after another along an axis. */
export const concat = (xs: readonly Tensor[], axis: number): Tensor => concatOp(xs, { axis: axisOf(xs[0].shape, axis) })

export const splitOp = defineOp<{ axis: number; sizes: readonly Dim[] }>('split', {
  outputs: ([x], { axis, sizes }) => {
    if (sumDims(...sizes) !== x.shape[axis]) throw shapeError('cannot split into these extents', x.shape, sizes)
    return sizes.map((size) => ({ shape: withAxis(x.shape, axis, size), dtype: x.dtype }))
  },
  emit: (onnx, [x], { axis, sizes }) =>
    sizes.length === 1 ? [x] : onnx.nodes('Split', [x, onnx.shape(sizes)], sizes.length, { axis }),
  gradient: ({ outputs, upstreams, attributes: { axis } }) => [
    concat(
      outputs.map((part, i) => upstreams[i] ?? zeros(part.shape)),
      axis,
    ),
  ],
})

/** The inverse of concat: consecutive parts of given extents along an axis. */
export const split = (x: Tensor, sizes: readonly Dim[], axis: number): readonly Tensor[] =>
  splitOp.all([x], { axis: axisOf(x.shape, axis), sizes })
