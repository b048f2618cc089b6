/**
 * @file log Σ exp of the logits x·Mᵀ + b, a part of the vocabulary at a time: no more logits exist at once than a part's. What the
 * gradient in x needs is the mean row of M under the softmax, as small as x itself; it is summed up while the logits are there,
 * so that they are neither kept for the backward pass nor made twice.
 */
import { int64 } from '../../runtime/host-tensor.ts'
import { defineOp } from '../define-op.ts'
import { CONTRIB, type OnnxBuilder } from '../onnx.ts'
import { type Dim, shapeError } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import { zeroAfter } from './afterwards.ts'
import { mul } from './elementwise.ts'
import { productOfRounded, roundRows } from './integers.ts'
import { decode, type StoredMatrix } from './stored.ts'

/** Rows of the matrix whose logits are made at a time. */
export const NORMALISED_ROWS = 4096

/** `rounded`: logits are products with the matrix's int8 copy; the mean row is always of the matrix itself. */
type Attributes = Pick<StoredMatrix, 'storage' | 'shape'> & { biased: boolean; rounded: boolean; rowsAtOnce: number }

export const logNormaliserOp = defineOp<Attributes>('logNormaliser', {
  // outputs: log Σ exp [queries, 1], and the mean row of M under the softmax [queries, columns], made where a gradient needs it
  outputs: ([x], { shape }) => {
    if (x.shape.length !== 2 || x.shape[1] !== shape[1]) throw shapeError('cannot multiply', x.shape, shape)
    return [
      { shape: [x.shape[0], 1], dtype: 'float32' },
      { shape: x.shape, dtype: 'float32' },
    ]
  },
  emit: (onnx, inputs, { storage, shape, biased, rounded, rowsAtOnce }, { outputs: [, { shape: mean }] }, isUsed) => {
    const [x, ...rest] = inputs
    const [values, scale] = rounded ? rest.splice(0, 2) : []
    const bias = biased ? rest.shift() : undefined
    const parts = rest
    const [rows, columns] = shape
    const roundedX = rounded ? roundRows(onnx, x, mean) : undefined
    const size = Math.ceil(rows / Math.ceil(rows / rowsAtOnce))
    const chunks: Chunk[] = []
    let before = x
    for (let from = 0; from < rows; from += size) {
      const to = Math.min(rows, from + size)
      // One after another: left to itself the runtime might begin them all.
      const take = (part: string, axis = 0) => partOf(onnx, part, { from, to, axis, before })
      const declare = (value: string, ...shape: Dim[]) => onnx.declare(value, { shape, dtype: 'float32' })
      const matrix =
        !roundedX || isUsed(1) ? decode(onnx, storage, parts, (part) => take(part), [to - from, columns]) : undefined
      const copied = (x: string) => onnx.declare(x, { shape: [columns, to - from], dtype: 'int8' })
      const product = roundedX
        ? productOfRounded(onnx, roundedX, { values: copied(take(values, 1)), scale: take(scale) }, [
            mean[0],
            to - from,
          ])
        : declare(
            onnx.node('FusedMatMul', [x, matrix!], { transA: 0, transB: 1, alpha: { float: 1 } }, CONTRIB),
            mean[0],
            to - from,
          )
      const logits = bias === undefined ? product : onnx.node('Add', [product, take(bias)])
      // All of a part may be forbidden: the difference from −∞ would be NaN.
      const largest = onnx.node('Max', [overLast(onnx, 'ReduceMax', logits), scalar(onnx, LOWEST)])
      const weights = declare(onnx.node('Exp', [onnx.node('Sub', [logits, largest])]), mean[0], to - from)
      const total = overLast(onnx, 'ReduceSum', weights)
      const mixed = isUsed(1) ? declare(onnx.node('MatMul', [weights, matrix!]), ...mean) : undefined
      chunks.push({ largest, total, mixed })
      before = mixed ?? total
    }
    return merge(onnx, chunks)
  },
  gradient: ({ inputs, outputs: [, mean], upstreams: [upstream, ofMean] }) => {
    if (!upstream || ofMean) throw new Error('the mean row of logNormaliser has no derivative')
    return [mul(upstream, mean), ...inputs.slice(1).map(() => undefined)]
  },
})

/** Of a part: its largest logit, Σ exp of all less that, and the sum of rows with these weights. */
type Chunk = { largest: string; total: string; mixed?: string }

const LOWEST = -1e30

/** The results of the whole from those of its parts. */
function merge(onnx: OnnxBuilder, chunks: readonly Chunk[]): string[] {
  const sum = (values: string[]) => (values.length === 1 ? values[0] : onnx.node('Sum', values))
  const largest = onnx.node(
    'Max',
    chunks.map(({ largest }) => largest),
  )
  const scales = chunks.map((chunk) => onnx.node('Exp', [onnx.node('Sub', [chunk.largest, largest])]))
  const total = sum(chunks.map(({ total }, c) => onnx.node('Mul', [total, scales[c]])))
  const normaliser = onnx.node('Add', [largest, onnx.node('Log', [total])])
  const parts = chunks.flatMap(({ mixed }, c) =>
    mixed === undefined ? [] : [onnx.node('Mul', [mixed, onnx.node('Div', [scales[c], total])])],
  )
  return [normaliser, parts.length > 0 ? sum(parts) : normaliser]
}

/** x[from..to] along an axis, once `before` is there. */
function partOf(
  onnx: OnnxBuilder,
  x: string,
  { from, to, axis, before }: { from: number; to: number; axis: number; before: string },
): string {
  const start = onnx.node('Add', [zeroAfter(onnx, before), onnx.shape([from])])
  return onnx.node('Slice', [x, start, onnx.shape([to]), onnx.shape([axis])])
}

const overLast = (onnx: OnnxBuilder, type: string, x: string) =>
  onnx.node(type, [x, onnx.constant(int64([1], [-1]))], { keepdims: 1 })
const scalar = (onnx: OnnxBuilder, value: number) =>
  onnx.constant({ dtype: 'float32', shape: [], data: Float32Array.of(value) })

/**
 * log Σ exp of x·Mᵀ + b over all rows of a frozen matrix, [queries, 1]. Gradients flow to x alone.
 * @param bias  [rows]; −∞ leaves a row out
 */
export function logNormaliser(
  x: Tensor,
  { storage, shape, parts, integers }: StoredMatrix,
  bias?: Tensor,
  rowsAtOnce = NORMALISED_ROWS,
): Tensor {
  const copy = integers ? [integers.values, integers.scale] : []
  const inputs = [x, ...copy, ...(bias ? [bias] : []), ...parts]
  const rounded = integers !== undefined
  return logNormaliserOp(inputs, { storage, shape, biased: bias !== undefined, rounded, rowsAtOnce })
}
