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
  gradient: ({ inputs: [x, index], upstream, attributes: { axis } }) => [
    scatterAdd(index, upstream, x.shape, axis),
    undefined,
  ],
})

/** x[index] along an axis: [..., axis, ...] → [..., ...index, ...]. Elements taken several times sum their gradients. */
export const gather = (x: Tensor, index: Tensor, axis = 0): Tensor =>
  gatherOp([x, index], { axis: axisOf(x.shape, axis) })

export const scatterAddOp = defineOp<{ shape: Shape; axis: number }>('scatterAdd', {
  outputs: ([, updates], { shape }) => [{ shape, dtype: updates.dtype }],
  // ScatterND would add several updates of one element at the same time in several threads, and lose some of them.
  emit: (onnx, [index, updates], { shape, axis }, { inputs }) => {
    const cells = productOfDims(...inputs[0].shape)
    const [before, after] = [shape.slice(0, axis), shape.slice(axis + 1)]
    const ones = (dims: Shape) => dims.map(() => 1)
    const whole = onnx.shape([...before, cells, ...after])
    const places = onnx.node('Reshape', [index, onnx.shape([...ones(before), cells, ...ones(after)])])
    const zero = onnx.constant({ dtype: 'float32', shape: [], data: new Float32Array(1) })
    return [
      onnx.node(
        'ScatterElements',
        [
          onnx.node('Expand', [zero, onnx.shape(shape)]),
          onnx.node('Expand', [places, whole]),
          onnx.node('Reshape', [updates, whole]),
        ],
        { axis, reduction: 'add' },
      ),
    ]
  },
  gradient: ({ inputs: [index], upstream, attributes: { axis } }) => [undefined, gather(upstream, index, axis)],
})

/** Zeros of a shape with `updates` [..., ...index, ...] added at x[index] along an axis: the transpose of gather. */
export const scatterAdd = (index: Tensor, updates: Tensor, shape: Shape, axis = 0): Tensor =>
  scatterAddOp([index, updates], { shape, axis })

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
