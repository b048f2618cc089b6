/** @file Softmax over the last axis. */
import { defineOp } from '../define-op.ts'
import type { Tensor } from '../tensor.ts'
import { exp, mul, sub } from './elementwise.ts'
import { sumLast } from './reduce.ts'

export const softmaxOp = defineOp('softmax', {
  outputs: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  emit: (onnx, [x]) => [onnx.node('Softmax', [x], { axis: -1 })],
  gradient: ({ output: y, upstream: g }) => [mul(y, sub(g, sumLast(mul(g, y))))],
})

export const logSoftmaxOp = defineOp('logSoftmax', {
  outputs: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  emit: (onnx, [x]) => [onnx.node('LogSoftmax', [x], { axis: -1 })],
  gradient: ({ output: y, upstream: g }) => [sub(g, mul(exp(y), sumLast(g)))],
})

export const softmax = (x: Tensor): Tensor => softmaxOp([x], undefined)
export const logSoftmax = (x: Tensor): Tensor => logSoftmaxOp([x], undefined)
