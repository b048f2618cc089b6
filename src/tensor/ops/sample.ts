/**
 * @file Drawing from a softmax inside the graph, so that [rows, vocabulary] never leaves it. A draw first finds the block of the
 * vocabulary, then the token in it: running sums, which are in double precision because over a large vocabulary float32
 * would lose the rare tokens, are then short.
 */
import { int64 } from '../../runtime/host-tensor.ts'
import { defineOp } from '../define-op.ts'
import type { OnnxBuilder } from '../onnx.ts'
import type { Tensor } from '../tensor.ts'

const BLOCK = 256

export const drawOp = defineOp('draw', {
  outputs: ([, uniform]) => [{ shape: [uniform.shape[0]], dtype: 'int64' }],
  emit: (onnx, [logits, uniform, of], _, { inputs }) => {
    const vocabulary = inputs[0].shape[1] as number
    const blocks = Math.ceil(vocabulary / BLOCK)
    const whole = (...values: number[]) => onnx.constant(int64([values.length], values))
    const probabilities = onnx.node('Softmax', [logits], { axis: -1 })
    const padding = blocks * BLOCK - vocabulary
    const padded = padding > 0 ? onnx.node('Pad', [probabilities, whole(0, 0, 0, padding)]) : probabilities
    const grid = onnx.node('Reshape', [padded, whole(-1, blocks, BLOCK)])

    const row = onnx.node('Unsqueeze', [of, whole(1)])
    const sumsOfRows = wide(onnx, onnx.node('ReduceSum', [grid, whole(2)], { keepdims: 0 }))
    const sums = onnx.node('Gather', [sumsOfRows, of], { axis: 0 }) // [draws, blocks]
    const block = invert(onnx, sums, uniform)
    const place = onnx.node('Concat', [row, block.index], { axis: 1 })
    const inBlock = wide(onnx, onnx.node('GatherND', [grid, place])) // [draws, BLOCK]
    const own = onnx.node('GatherElements', [sums, block.index], { axis: 1 })
    const rest = onnx.node('Div', [onnx.node('Sub', [block.mark, block.before]), own])
    const token = invert(onnx, inBlock, rest)
    const first = onnx.node('Mul', [block.index, whole(BLOCK)])
    return [onnx.node('Reshape', [onnx.node('Add', [first, token.index]), whole(-1)])]
  },
  gradient: 'none',
})

const wide = (onnx: OnnxBuilder, value: string) => onnx.node('Cast', [value], { to: onnx.dataType('float64') })

/**
 * For each row of masses [draws, n] the first place whose running sum exceeds the fraction of the total [draws, 1], and never one
 * of mass zero, however the product rounds: that place [draws, 1], the sum before it, and the sum that was looked for.
 */
function invert(onnx: OnnxBuilder, masses: string, fraction: string) {
  const lastAxis = onnx.constant(int64([1], [-1]))
  const running = onnx.node('CumSum', [masses, onnx.constant(int64([], [-1]))])
  const total = onnx.node('ReduceMax', [running, lastAxis], { keepdims: 1 })
  const mark = onnx.node('Mul', [fraction, total])
  const isBefore = onnx.node('And', [
    onnx.node('LessOrEqual', [running, mark]),
    onnx.node('Less', [running, total]), // the last place that has mass is the last that may be found
  ])
  const count = onnx.node('Cast', [isBefore], { to: onnx.dataType('int64') })
  const sumsBefore = onnx.node('Mul', [running, wide(onnx, isBefore)])
  return {
    index: onnx.node('ReduceSum', [count, lastAxis], { keepdims: 1 }),
    before: onnx.node('ReduceMax', [sumsBefore, lastAxis], { keepdims: 1 }),
    mark,
  }
}

/**
 * Tokens by inversion: for each draw the first whose cumulative probability in the row exceeds `uniform`.
 * @param logits  [rows, vocabulary]; −∞ for what must not be drawn
 * @param uniform  [draws, 1], float64 in [0, 1)
 * @param of  [draws], the row that each is from
 * @returns [draws], whole numbers
 */
export const draw = (logits: Tensor, uniform: Tensor, of: Tensor): Tensor => drawOp([logits, uniform, of], undefined)
