/** @file Order where there is no dependence: what may be computed only once something else is there. */
import { defineOp } from '../define-op.ts'
import type { OnnxBuilder } from '../onnx.ts'
import type { Tensor } from '../tensor.ts'

export const afterwardsOp = defineOp('afterwards', {
  outputs: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  emit: (onnx, [x, after]) => [emitAfterwards(onnx, x, onnx.node('Shape', [x]), after)],
  gradient: ({ upstream }) => [upstream, undefined],
})

/**
 * x, as a value that waits for `after` (of at least one axis) and that the runtime takes for another value than x. So it
 * neither hurries what is computed from it nor shares it with what was computed from x.
 */
export const afterwards = (x: Tensor, after: Tensor): Tensor =>
  after.shape.length === 0 ? x : afterwardsOp([x, after], undefined)

/** x under its own shape again, computed from a size of `after`: a reshape moves nothing. */
export function emitAfterwards(onnx: OnnxBuilder, x: string, shape: string, after: string): string {
  return onnx.node('Reshape', [x, onnx.node('Add', [shape, zeroAfter(onnx, after)])])
}

/** The number 0, [1], which is there once `after` (of at least one axis) is. */
export const zeroAfter = (onnx: OnnxBuilder, after: string): string =>
  onnx.node('Mul', [onnx.node('Shape', [after], { start: 0, end: 1 }), onnx.shape([0])])
