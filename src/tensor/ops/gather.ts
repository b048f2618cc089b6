/** @file Picking elements by index. */
import { int64 } from '../../runtime/host-tensor.ts'
import { defineOp } from '../define-op.ts'
import { axisOf, productOfDims, type Shape } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import { greaterOrEqual, where } from './elementwise.ts'
import { constant, reshape } from './source.ts'

const gathered = (x: Shape, index: Shape, axis: number): Shape => [...x.slice(0, axis), ...index, ...x.slice(axis + 1)]

export const gatherOp = defineOp<{ axis: number }>('gather', {
  outputs: ([x, index], { axis }) => [{ shape: gathered(x.shape, index.shape, axis), dtype: x.dtype }],
  emit: (onnx, [x, index], { axis }) => [onnx.node('Gather', [x, index], { axis })],
  gradient: ({ inputs: [x, index], upstream, attributes: { axis } }) => {
    if (axis !== 0)
      throw new Error('gather has a gradient along its first axis only; use regroup where each element is taken once')
    return [scatterAdd(index, upstream, x.shape), undefined]
  },
})

/** x[index] along an axis: [..., axis, ...] → [..., ...index, ...]. Elements taken several times sum their gradients. */
export const gather = (x: Tensor, index: Tensor, axis = 0): Tensor =>
  gatherOp([x, index], { axis: axisOf(x.shape, axis) })

export const scatterAddOp = defineOp<{ shape: Shape }>('scatterAdd', {
  outputs: ([, updates], { shape }) => [{ shape, dtype: updates.dtype }],
  emit: (onnx, [index, updates], { shape }) => {
    const zeros = onnx.node('Expand', [
      onnx.constant({ dtype: 'float32', shape: [], data: new Float32Array(1) }),
      onnx.shape(shape),
    ])
    const places = onnx.node('Unsqueeze', [index, onnx.constant(int64([1], [-1]))])
    return [onnx.node('ScatterND', [zeros, places, updates], { reduction: 'add' })]
  },
  gradient: ({ inputs: [index], upstream }) => [undefined, gather(upstream, index)],
})

/** Zeros of a shape with `updates` [...index, ...rest] added at x[index] along the first axis: the transpose of gather. */
export const scatterAdd = (index: Tensor, updates: Tensor, shape: Shape): Tensor =>
  scatterAddOp([index, updates], { shape })

/** `partial` where some elements of x have no place, so that the inverse holds −1. */
export const regroupOp = defineOp<{ axis: number; partial: boolean }>('regroup', {
  outputs: ([x, index], { axis }) => [{ shape: gathered(x.shape, index.shape, axis), dtype: x.dtype }],
  emit: (onnx, [x, index], { axis }) => [onnx.node('Gather', [x, index], { axis })],
  gradient: ({ inputs: [x, index, inverse], upstream, attributes: { axis, partial } }) => {
    const after = x.shape.slice(axis + 1)
    const flat = reshape(upstream, [...x.shape.slice(0, axis), productOfDims(...index.shape), ...after])
    const back = gather(flat, inverse, axis)
    if (!partial) return [back, undefined, undefined]
    const placed = greaterOrEqual(inverse, constant(int64([], [0])))
    return [where(reshape(placed, [x.shape[axis], ...after.map(() => 1)]), back, 0), undefined, undefined]
  },
})

/**
 * x[index] along an axis, where each element of x has one place: `inverse[k]` is the place of element k in the flattened
 * index, −1 for none (then `partial`). Other places are padding: their values mean nothing and their gradient is dropped,
 * so that, unlike `gather`, the gradient is again a gather and not a sum.
 */
export const regroup = (x: Tensor, index: Tensor, inverse: Tensor, { axis = 0, partial = false } = {}): Tensor =>
  regroupOp([x, index, inverse], { axis: axisOf(x.shape, axis), partial })
