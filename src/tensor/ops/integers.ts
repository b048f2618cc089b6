/**
 * @file Products of whole numbers of 8 bits: near those of float32, and several times as fast where a frozen matrix is part of the
 * program. A matrix has a scale for each output and x one for each row, so that what a row gives depends on no other row. A few
 * outliers would take all of a row's levels; both factors are therefore turned first (by blocks of a Hadamard matrix, as in QuaRot,
 * Ashkboos et al. 2024), which changes no product and spreads an outlier over its neighbours. Nothing flows back through them.
 */
import { float32, int64 } from '../../runtime/host-tensor.ts'
import { defineOp } from '../define-op.ts'
import { CONTRIB, type OnnxBuilder } from '../onnx.ts'
import { shapeError } from '../shape.ts'
import type { Tensor } from '../tensor.ts'

/** A turned matrix of whole numbers [inputs, outputs], int8, and what each of its columns is multiplied by, [outputs]. */
export type IntegerMatrix = { values: Tensor; scale: Tensor }

/** Stands for the scale of what is nothing but zeros. */
export const TINY = 1e-30
/** Neighbours that are turned together, at most: more cost more and gain little (docs/performance.md). */
const TURNED = 64

export const integerProductOp = defineOp('integerProduct', {
  outputs: ([x, values]) => {
    if (x.shape.length !== 2 || x.shape[1] !== values.shape[0])
      throw shapeError('cannot multiply', x.shape, values.shape)
    return [{ shape: [x.shape[0], values.shape[1]], dtype: 'float32' }]
  },
  emit: (onnx, [x, values, scale], _, { inputs }) => {
    const turned = turn(onnx, x, inputs[1].shape[0] as number)
    const lastAxis = onnx.constant(int64([1], [1]))
    const magnitude = onnx.node('ReduceMax', [onnx.node('Abs', [turned]), lastAxis], { keepdims: 1 })
    const step = onnx.node('Max', [onnx.node('Mul', [magnitude, number(onnx, 1 / 127)]), number(onnx, TINY)])
    // Unsigned, with 128 for zero: products of two signed factors are slow on x86.
    const zero = onnx.constant({ dtype: 'uint8', shape: [], data: Uint8Array.of(128) })
    const rows = onnx.node('QuantizeLinear', [onnx.node('Div', [turned, step]), number(onnx, 1), zero])
    const product = onnx.node('MatMulIntegerToFloat', [rows, values, number(onnx, 1), scale, zero], {}, CONTRIB)
    return [onnx.node('Mul', [product, step])]
  },
  gradient: 'none',
})

/** x · M, [rows, outputs], both rounded to whole numbers of 8 bits. */
export const integerProduct = (x: Tensor, { values, scale }: IntegerMatrix): Tensor =>
  integerProductOp([x, values, scale], undefined)

/** Rows of so many numbers, each block of neighbours times an orthogonal matrix. */
export function turn(onnx: OnnxBuilder, rows: string, columns: number): string {
  let block = 1
  while (2 * block <= TURNED && columns % (2 * block) === 0) block *= 2
  if (block === 1) return rows
  const blocks = onnx.node('Reshape', [rows, onnx.shape([-1, block])])
  return onnx.node('Reshape', [onnx.node('MatMul', [blocks, hadamard(onnx, block)]), onnx.shape([-1, columns])])
}

/** Sylvester's: signs of the number of bits that row and column have in common, over √size. It is its own inverse. */
function hadamard(onnx: OnnxBuilder, size: number): string {
  const sign = (bits: number): number => (bits === 0 ? 1 : bits & 1 ? -sign(bits >> 1) : sign(bits >> 1))
  const values = Float32Array.from({ length: size * size }, (_, i) => sign(Math.floor(i / size) & (i % size)))
  return onnx.constant(
    float32(
      [size, size],
      values.map((value) => value / Math.sqrt(size)),
    ),
  )
}

/** A float32 constant. */
export const number = (onnx: OnnxBuilder, value: number) => onnx.constant(float32([], [value]))
