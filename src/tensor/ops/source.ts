/** @file Where values come from: a program's inputs, constants, and sizes counted out as ranges. */
import { float32, type HostTensor, sizeOf } from '../../runtime/host-tensor.ts'
import { defineOp } from '../define-op.ts'
import { type Dim, productOfDims, type Shape, sameShape, shapeError } from '../shape.ts'
import type { Tensor, TensorType } from '../tensor.ts'

export const inputOp = defineOp<{ name: string } & TensorType>('input', {
  outputs: (_, { shape, dtype }) => [{ shape, dtype }],
  emit: (_onnx, _inputs, { name }) => [name],
  gradient: () => [],
})

/** A value that the caller gives at every run. */
export const input = (name: string, type: TensorType): Tensor => inputOp([], { name, ...type })

export const constantOp = defineOp<{ tensor: HostTensor }>('constant', {
  outputs: (_, { tensor: { shape, dtype } }) => [{ shape, dtype }],
  emit: (onnx, _inputs, { tensor }) => [onnx.constant(tensor)],
  gradient: () => [],
})

/** A number (float32, shape []) or an array that never changes. */
export const constant = (value: number | HostTensor): Tensor =>
  constantOp([], { tensor: typeof value === 'number' ? float32([], [value]) : value })

export const expandOp = defineOp<{ shape: Shape }>('expand', {
  outputs: ([x], { shape }) => [{ shape, dtype: x.dtype }],
  emit: (onnx, [x], { shape }) => [onnx.node('Expand', [x, onnx.shape(shape)])],
  gradient: ({ inputs: [x], upstream }) => [sumTo(upstream, x.shape)],
})

/** x repeated to a larger shape, as numpy broadcasts. */
export const expand = (x: Tensor, shape: Shape): Tensor => (sameShape(x.shape, shape) ? x : expandOp([x], { shape }))

/** Zeros of a shape that may be known only when the program runs. */
export const zeros = (shape: Shape): Tensor => expand(constant(0), shape)

export const sumToOp = defineOp<{ shape: Shape }>('sumTo', {
  outputs: (_, { shape }) => [{ shape, dtype: 'float32' }],
  emit: (onnx, [x], { shape }, { inputs }) => {
    const from = inputs[0].shape
    const lead = from.length - shape.length
    const axes = from.flatMap((dim, i) => (i < lead || (shape[i - lead] === 1 && dim !== 1) ? [i] : []))
    const summed = onnx.node('ReduceSum', [x, onnx.shape(axes)], { keepdims: 1 })
    return [lead === 0 ? summed : onnx.node('Reshape', [summed, onnx.shape(shape)])]
  },
  gradient: ({ inputs: [x], upstream }) => [expand(upstream, x.shape)],
})

/** x summed over the axes along which `shape` was broadcast to x's shape: the inverse of `expand` for gradients. */
export const sumTo = (x: Tensor, shape: Shape): Tensor => (sameShape(x.shape, shape) ? x : sumToOp([x], { shape }))

export const rangeOp = defineOp<{ size: Dim }>('range', {
  outputs: (_, { size }) => [{ shape: [size], dtype: 'int64' }],
  emit: (onnx, _inputs, { size }) => {
    const scalar = (value: Dim) => onnx.node('Squeeze', [onnx.shape([value])])
    return [onnx.node('Range', [scalar(0), scalar(size), scalar(1)])]
  },
  gradient: () => [],
})

/** 0, 1, …, size − 1 as whole numbers [size]. */
export const range = (size: Dim): Tensor => rangeOp([], { size })

export const reshapeOp = defineOp<{ shape: Shape }>('reshape', {
  outputs: ([x], { shape }) => {
    if (productOfDims(...x.shape) !== productOfDims(...shape)) throw shapeError('cannot reshape', x.shape, shape)
    return [{ shape, dtype: x.dtype }]
  },
  emit: (onnx, [x], { shape }) => [onnx.node('Reshape', [x, onnx.shape(reshapeTarget(shape))])],
  gradient: ({ inputs: [x], upstream }) => [reshape(upstream, x.shape)],
})

/** The same elements in the same order under another shape. */
export const reshape = (x: Tensor, shape: Shape): Tensor => (sameShape(x.shape, shape) ? x : reshapeOp([x], { shape }))

/** One symbolic extent may be left to the runtime (−1), which spares computing it from other shapes. */
const reshapeTarget = (shape: Shape): Shape =>
  shape.filter((dim) => typeof dim === 'string').length === 1 &&
  sizeOf(shape.filter((dim) => typeof dim === 'number') as number[]) > 0
    ? shape.map((dim) => (typeof dim === 'string' ? -1 : dim))
    : shape
