/**
 * @file Products of whole numbers of 8 bits: near those of float32, and several times as fast. A matrix has a scale for each output and
 * x one for each row, so that what a row gives depends on no other row. A few outliers would take all of a row's levels; both factors
 * are therefore turned first (by blocks of a Hadamard matrix, as in QuaRot, Ashkboos et al. 2024), which changes no product and spreads
 * an outlier over its neighbours. Gradients flow to x as if nothing were rounded, by a product of the same kind, where the matrix has
 * what that takes.
 */
import { float32, type HostTensor, int64 } from '../../runtime/host-tensor.ts'
import { defineOp, type OpFunction } from '../define-op.ts'
import { CONTRIB, type OnnxBuilder } from '../onnx.ts'
import { type Dim, productOfDims, type Shape, shapeError } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import { concat, transpose } from './layout.ts'

/** A turned matrix of whole numbers [inputs, outputs], int8, and what each of its columns is multiplied by, [outputs]. */
export type Integers = { values: Tensor; scale: Tensor }
/** The same, and where gradients are to flow to what it multiplies, that of the transposed matrix. */
export type IntegerMatrix = Integers & { back?: Integers }

/** Stands for the largest of what is nothing but zeros. */
const TINY = 1e-30
/** What a whole number is worth, as a part of the largest. */
const STEP = 1 / 127
/** Neighbours that are turned together, the most first, and what turns them: more cost more and gain little (docs/performance.md). */
const TURNS = [64, 32, 16, 8, 4, 2].map((size) => ({ size, by: hadamard(size) }))

// inputs: x, the matrix's values and scale, and those of the transposed matrix where gradients flow
export const integerProductOp: OpFunction<undefined> = defineOp('integerProduct', {
  outputs: ([x, values]) => {
    if (x.shape.length !== 2 || x.shape[1] !== values.shape[0])
      throw shapeError('cannot multiply', x.shape, values.shape)
    return [{ shape: [x.shape[0], values.shape[1]], dtype: 'float32' }]
  },
  emit: (onnx, [x, values, scale], _, { inputs, outputs: [{ shape }] }) => [
    productOfRounded(onnx, roundRows(onnx, x, inputs[0].shape), { values, scale }, shape),
  ],
  gradient: ({ inputs: [, values, scale, ...back], upstream }) => {
    if (back.length === 0) throw new Error('integerProduct has no derivative without the transposed matrix')
    return [integerProductOp([upstream, ...back, values, scale], undefined)]
  },
})

/** x · M, [rows, outputs], where both are rounded to whole numbers of 8 bits. */
export const integerProduct = (x: Tensor, { values, scale, back }: IntegerMatrix): Tensor =>
  integerProductOp([x, values, scale, ...(back ? [back.values, back.scale] : [])], undefined)

/** Rows inside an op: whole numbers with 128 for zero, and what one is worth in each row, [rows, 1]; in a row of zeros any number is worth 0. */
export type RoundedRows = { rows: string; worth: string; zero: string }

/** Turns and rounds x, [rows, columns]. Every value's type is said: the runtime takes long to find out what thousands of nodes give. */
export function roundRows(onnx: OnnxBuilder, x: string, shape: Shape): RoundedRows {
  const [count, columns] = shape as [Dim, number]
  const float = (value: string, ...shape: Dim[]) => onnx.declare(value, { shape, dtype: 'float32' })
  const whole = turn(onnx, x, shape, { axis: 1 })
  const lastAxis = onnx.constant(int64([1], [1]))
  const magnitudes = float(onnx.node('Abs', [whole]), count, columns)
  const largest = float(onnx.node('ReduceMax', [magnitudes, lastAxis], { keepdims: 1 }), count, 1)
  const worth = float(onnx.node('Mul', [largest, number(onnx, STEP)]), count, 1)
  const scale = float(onnx.node('Reshape', [worth, onnx.constant(int64([1], [-1]))]), count)
  // Unsigned, with 128 for zero: products of two signed factors are slow on x86.
  const zero = onnx.constant({ dtype: 'uint8', shape: [], data: Uint8Array.of(128) })
  const zeros = onnx.declare(onnx.node('Expand', [zero, onnx.shape([count])]), { shape: [count], dtype: 'uint8' })
  const rows = onnx.node('QuantizeLinear', [whole, scale, zeros], { axis: 0 })
  return { rows: onnx.declare(rows, { shape, dtype: 'uint8' }), worth, zero }
}

/** The product of rounded rows and a matrix of whole numbers, of the given shape. */
export function productOfRounded(
  onnx: OnnxBuilder,
  { rows, worth, zero }: RoundedRows,
  { values, scale }: { values: string; scale: string },
  shape: Shape,
): string {
  const float = (value: string) => onnx.declare(value, { shape, dtype: 'float32' })
  const parts = onnx.node('MatMulIntegerToFloat', [rows, values, number(onnx, 1), scale, zero], {}, CONTRIB)
  return float(onnx.node('Mul', [float(parts), worth]))
}

type Along = { axis: 0 | 1 }

/** A matrix as whole numbers along an axis, [rows, columns], and what a whole number is worth, for each place of the other axis. */
export const roundedOp = defineOp<Along>('rounded', {
  outputs: ([{ shape }], { axis }) => [
    { shape, dtype: 'int8' },
    { shape: [shape[1 - axis]], dtype: 'float32' },
  ],
  emit: (onnx, [matrix], { axis }) => {
    const axes = onnx.constant(int64([1], [axis]))
    const extreme = (type: string) => onnx.node(type, [matrix, axes], { keepdims: 0 })
    const magnitude = onnx.node('Max', [extreme('ReduceMax'), onnx.node('Neg', [extreme('ReduceMin')])])
    const scale = onnx.node('Max', [onnx.node('Div', [magnitude, largest(onnx)]), number(onnx, TINY)])
    const to = { output_dtype: onnx.dataType('int8') }
    // With a scale for each column QuantizeLinear would take elements one by one.
    return axis === 1
      ? [onnx.node('QuantizeLinear', [matrix, scale], { ...to, axis: 0 }), scale]
      : [onnx.node('QuantizeLinear', [onnx.node('Div', [matrix, scale]), number(onnx, 1)], to), scale]
  },
  gradient: 'none',
})

/** Matrices M [outputs, inputs], one below the other, as `integerProduct` wants them for x · Mᵀ. */
export function toIntegers(matrices: readonly Tensor[]): Integers {
  const parts = matrices.map((matrix) => roundedOp.all([turnedOp([matrix], { axis: 1 })], { axis: 1 }))
  const [rows, scale] = [0, 1].map((output) =>
    concat(
      parts.map((part) => part[output]),
      0,
    ),
  )
  return { values: transpose(rows, [1, 0]), scale }
}

/** The same for x · M. */
export function toIntegersBack(matrices: readonly Tensor[]): Integers {
  const [values, scale] = roundedOp.all([turnedOp([concat(matrices, 0)], { axis: 0 })], { axis: 0 })
  return { values, scale }
}

/** Each block of neighbours along an axis times an orthogonal matrix that is its own inverse. */
function turn(onnx: OnnxBuilder, x: string, shape: Shape, { axis }: Along): string {
  const [count, columns] = shape as [Dim, number]
  const extent = Number(shape[axis])
  const fitting = TURNS.find(({ size }) => extent % size === 0)
  if (!fitting) return x
  const { size, by } = fitting
  const blocks: Shape = axis === 1 ? [productOfDims(count, columns / size), size] : [extent / size, size, columns]
  const reshaped = (value: string, shape: Shape) => {
    const sizes = onnx.constant(int64([shape.length], [-1, ...shape.slice(1).map(Number)]))
    return onnx.declare(onnx.node('Reshape', [value, sizes]), { shape, dtype: 'float32' })
  }
  const factors = axis === 1 ? [reshaped(x, blocks), onnx.constant(by)] : [onnx.constant(by), reshaped(x, blocks)]
  return reshaped(onnx.declare(onnx.node('MatMul', factors), { shape: blocks, dtype: 'float32' }), shape)
}

export const turnedOp: OpFunction<Along> = defineOp<Along>('turned', {
  outputs: ([x]) => [{ shape: x.shape, dtype: 'float32' }],
  emit: (onnx, [x], along, { inputs }) => [turn(onnx, x, inputs[0].shape, along)],
  gradient: ({ upstream, attributes }) => [turnedOp([upstream], attributes)],
})

/** Sylvester's: signs by the number of bits that row and column have in common, over √size. */
function hadamard(size: number): HostTensor {
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
