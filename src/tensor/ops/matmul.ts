/** @file Matrix products, transposed without a copy where the runtime's fused operator can. */
import { defineOp } from '../define-op.ts'
import { CONTRIB } from '../onnx.ts'
import { broadcast, type Shape, sameShape, shapeError } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import { sumTo } from './source.ts'

type Transposes = { transposeA?: boolean; transposeB?: boolean; scale?: number }

const lastTwo = (shape: Shape, transpose: boolean) => {
  const [rows, columns] = shape.slice(-2)
  return transpose ? [columns, rows] : [rows, columns]
}

export const matmulOp = defineOp<Required<Transposes>>('matmul', {
  outputs: ([a, b], { transposeA, transposeB }) => {
    const [rows, inner] = lastTwo(a.shape, transposeA)
    const [inner2, columns] = lastTwo(b.shape, transposeB)
    if (inner !== inner2) throw shapeError('cannot multiply', a.shape, b.shape)
    return [{ shape: [...broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2)), rows, columns], dtype: 'float32' }]
  },
  emit: (onnx, [a, b], { transposeA, transposeB, scale }) => [
    transposeA || transposeB || scale !== 1
      ? onnx.node(
          'FusedMatMul',
          [a, b],
          { transA: Number(transposeA), transB: Number(transposeB), alpha: { float: scale } },
          CONTRIB,
        )
      : onnx.node('MatMul', [a, b]),
  ],
  gradient: ({ inputs: [a, b], upstream, attributes }) => {
    const [da, db] = productGradients(a, b, upstream, attributes)
    return [sumTo(da, a.shape), sumTo(db, b.shape)]
  },
})

/** Of both factors, before axes that were broadcast are summed away. */
function productGradients(a: Tensor, b: Tensor, g: Tensor, { transposeA, transposeB, scale }: Required<Transposes>) {
  const da = transposeA
    ? matmul(b, g, { transposeA: transposeB, transposeB: true, scale })
    : matmul(g, b, { transposeB: !transposeB, scale })
  const db = transposeB
    ? matmul(g, a, { transposeA: true, transposeB: transposeA, scale })
    : matmul(a, g, { transposeA: !transposeA, scale })
  return [da, db]
}

/** scale · A·B over the last two axes, either transposed; leading axes broadcast. */
export const matmul = (
  a: Tensor,
  b: Tensor,
  { transposeA = false, transposeB = false, scale = 1 }: Transposes = {},
): Tensor => matmulOp([a, b], { transposeA, transposeB, scale })

export const addProductOp = defineOp<Required<Transposes>>('addProduct', {
  outputs: ([c, a, b], { transposeA, transposeB }) => {
    const [rows, inner] = lastTwo(a.shape, transposeA)
    const [inner2, columns] = lastTwo(b.shape, transposeB)
    if (a.shape.length !== 2 || b.shape.length !== 2 || inner !== inner2)
      throw shapeError('cannot multiply', a.shape, b.shape)
    if (!sameShape(c.shape, [rows, columns])) throw shapeError('cannot add', c.shape, [rows, columns])
    return [{ shape: c.shape, dtype: 'float32' }]
  },
  emit: (onnx, [c, a, b], { transposeA, transposeB, scale }) => [
    onnx.node('Gemm', [a, b, c], { transA: Number(transposeA), transB: Number(transposeB), alpha: { float: scale } }),
  ],
  gradient: ({ inputs: [, a, b], upstream, attributes }) => [upstream, ...productGradients(a, b, upstream, attributes)],
})

/** c + scale · A·B of matrices, in one pass over c. */
export const addProduct = (
  c: Tensor,
  a: Tensor,
  b: Tensor,
  { transposeA = false, transposeB = false, scale = 1 }: Transposes = {},
): Tensor => addProductOp([c, a, b], { transposeA, transposeB, scale })
