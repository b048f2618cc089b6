/** @file Drawing from a softmax inside the graph, so that [rows, vocabulary] never leaves it. */
import { int64 } from '../../runtime/host-tensor.ts'
import { defineOp } from '../define-op.ts'
import type { Tensor } from '../tensor.ts'

export const drawOp = defineOp('draw', {
  outputs: ([, uniform]) => [{ shape: [uniform.shape[0]], dtype: 'int64' }],
  emit: (onnx, [logits, uniform]) => {
    // Running sums are in double precision: over a large vocabulary float32 would lose the rare tokens.
    const probabilities = onnx.node('Softmax', [logits], { axis: -1 })
    const wide = onnx.node('Cast', [probabilities], { to: onnx.dataType('float64') })
    const lastAxis = onnx.constant(int64([1], [-1]))
    const running = onnx.node('CumSum', [wide, onnx.constant(int64([], [-1]))])
    const mark = onnx.node('Mul', [uniform, onnx.node('ReduceSum', [wide, lastAxis], { keepdims: 1 })])
    const before = onnx.node('Cast', [onnx.node('LessOrEqual', [running, mark])], { to: onnx.dataType('int64') })
    const last = onnx.node('Sub', [onnx.node('Shape', [logits], { start: -1 }), onnx.constant(int64([1], [1]))])
    return [onnx.node('Min', [onnx.node('ReduceSum', [before, lastAxis], { keepdims: 0 }), last])]
  },
  gradient: 'none',
})

/**
 * One token for each row by inversion: the first whose cumulative probability exceeds `uniform`.
 * @param logits  [rows, vocabulary]; −∞ for what must not be drawn
 * @param uniform  [rows, 1], float64 in [0, 1)
 * @returns [rows], whole numbers
 */
export const draw = (logits: Tensor, uniform: Tensor): Tensor => drawOp([logits, uniform], undefined)
