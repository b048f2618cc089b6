/**
 * @file Products of whole numbers of 8 bits: near those of float32, and several times as fast where a frozen matrix is part of the
 * program. A matrix has a scale for each output and x one for each row, so that what a row gives depends on no other row. A few
 * outliers would take all of a row's levels; both factors are therefore turned first (by blocks of a Hadamard matrix, as in QuaRot,
 * Ashkboos et al. 2024), which changes no product and spreads an outlier over its neighbours. Nothing flows back through them.
 */
import { float32, int64 } from '../../runtime/host-tensor.ts'
import { defineOp } from '../define-op.ts'
import { CONTRIB, type OnnxBuilder } from '../onnx.ts'
import { productOfDims, shapeError } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import { mul } from './elementwise.ts'
import { transpose } from './layout.ts'
import { matmul } from './matmul.ts'
import { constant, reshape } from './source.ts'

/** A turned matrix of whole numbers [inputs, outputs], int8, and what each of its columns is multiplied by, [outputs]. */
export type IntegerMatrix = { values: Tensor; scale: Tensor }

/** Stands for the scale of what is nothing but zeros. */
const TINY = 1e-30
/** Neighbours that are turned together, at most: more cost more and gain little (docs/performance.md). */
const TURNED = 64

export const integerProductOp = defineOp('integerProduct', {
  outputs: ([x, values]) => {
    if (x.shape.length !== 2 || x.shape[1] !== values.shape[0])
      throw shapeError('cannot multiply', x.shape, values.shape)
    return [
      { shape: [x.shape[0], values.shape[1]], dtype: 'float32' },
      { shape: [x.shape[0], 1], dtype: 'float32' },
    ]
  },
  emit: (onnx, [x, values, scale]) => {
    const lastAxis = onnx.constant(int64([1], [1]))
    const magnitude = onnx.node('ReduceMax', [onnx.node('Abs', [x]), lastAxis], { keepdims: 1 })
    const step = onnx.node('Max', [onnx.node('Mul', [magnitude, number(onnx, 1 / 127)]), number(onnx, TINY)])
    // Unsigned, with 128 for zero: products of two signed factors are slow on x86.
    const zero = onnx.constant({ dtype: 'uint8', shape: [], data: Uint8Array.of(128) })
    const rows = onnx.node('QuantizeLinear', [onnx.node('Div', [x, step]), number(onnx, 1), zero])
    return [onnx.node('MatMulIntegerToFloat', [rows, values, number(onnx, 1), scale, zero], {}, CONTRIB), step]
  },
  gradient: 'none',
})

/** x · M, [rows, outputs], where both are rounded to whole numbers of 8 bits. */
export function integerProduct(x: Tensor, { values, scale }: IntegerMatrix): Tensor {
  const [product, step] = integerProductOp.all([turned(x), values, scale], undefined)
  return mul(product, step)
}

export const roundedRowsOp = defineOp('roundedRows', {
  outputs: ([{ shape }]) => [
    { shape, dtype: 'int8' },
    { shape: [shape[0]], dtype: 'float32' },
  ],
  emit: (onnx, [matrix]) => {
    const lastAxis = onnx.constant(int64([1], [1]))
    const extreme = (type: string) => onnx.node(type, [matrix, lastAxis], { keepdims: 0 })
    const magnitude = onnx.node('Max', [extreme('ReduceMax'), onnx.node('Neg', [extreme('ReduceMin')])])
    const scale = onnx.node('Max', [onnx.node('Div', [magnitude, largest(onnx)]), number(onnx, TINY)])
    const to = { axis: 0, output_dtype: onnx.dataType('int8') }
    return [onnx.node('QuantizeLinear', [matrix, scale], to), scale]
  },
  gradient: 'none',
})

/** A matrix [outputs, inputs] as `integerProduct` wants it. */
export function toIntegers(matrix: Tensor): IntegerMatrix {
  const [rows, scale] = roundedRowsOp.all([turned(matrix)], undefined)
  return { values: transpose(rows, [1, 0]), scale }
}

/** Rows, each block of neighbours times an orthogonal matrix that is its own inverse. */
function turned(rows: Tensor): Tensor {
  const [count, columns] = rows.shape as [Tensor['shape'][number], number]
  let block = 1
  while (2 * block <= TURNED && columns % (2 * block) === 0) block *= 2
  if (block === 1) return rows
  const blocks = reshape(rows, [productOfDims(count, columns / block), block])
  return reshape(matmul(blocks, constant(hadamard(block))), rows.shape)
}

/** Sylvester's: signs by the number of bits that row and column have in common, over √size. */
function hadamard(size: number) {
  const sign = (bits: number): number => (bits === 0 ? 1 : bits & 1 ? -sign(bits >> 1) : sign(bits >> 1))
  const signs = Array.from({ length: size * size }, (_, i) => sign(Math.floor(i / size) & (i % size)))
  return float32(
    [size, size],
    signs.map((value) => value / Math.sqrt(size)),
  )
}

/**
 * The largest whole number of a matrix: 127, or half of it where the processor adds two products in 16 bits and cuts off what
 * does not fit, as x86 without VNNI does. A product that is cut off there tells.
 */
function largest(onnx: OnnxBuilder): string {
  const size = 64
  const left = onnx.constant({ dtype: 'uint8', shape: [2, size], data: new Uint8Array(2 * size).fill(255) })
  const right = onnx.constant({ dtype: 'int8', shape: [size, size], data: new Int8Array(size * size).fill(127) })
  const least = onnx.node('ReduceMin', [onnx.node('MatMulInteger', [left, right])], { keepdims: 0 })
  const exact = onnx.constant({ dtype: 'int32', shape: [], data: Int32Array.of(size * 255 * 127) })
  return onnx.node('Where', [onnx.node('Equal', [least, exact]), number(onnx, 127), number(onnx, 63)])
}

const number = (onnx: OnnxBuilder, value: number) => onnx.constant(float32([], [value]))
