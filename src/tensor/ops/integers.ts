/**
 * @file Products of whole numbers: near those of float32, and several times as fast where a frozen matrix is part of the program.
 * A matrix has a scale for each output and x one for each row, so that what a row gives depends on no other row. They are
 * for sampling: nothing flows back through them.
 */
import { int64 } from '../../runtime/host-tensor.ts'
import { defineOp } from '../define-op.ts'
import { CONTRIB, type OnnxBuilder } from '../onnx.ts'
import { shapeError } from '../shape.ts'
import type { Tensor } from '../tensor.ts'

/** A matrix of whole numbers [inputs, outputs], int8, and what each of its columns is multiplied by, [outputs]. */
export type IntegerMatrix = { values: Tensor; scale: Tensor }

/** Stands for the scale of what is nothing but zeros. */
export const TINY = 1e-30

export const integerProductOp = defineOp('integerProduct', {
  outputs: ([x, values]) => {
    if (x.shape.length !== 2 || x.shape[1] !== values.shape[0]) throw shapeError('cannot multiply', x.shape, values.shape)
    return [{ shape: [x.shape[0], values.shape[1]], dtype: 'float32' }]
  },
  emit: (onnx, [x, values, scale]) => {
    const magnitude = onnx.node('ReduceMax', [onnx.node('Abs', [x]), onnx.constant(int64([1], [1]))], { keepdims: 1 })
    const step = onnx.node('Max', [onnx.node('Mul', [magnitude, number(onnx, 1 / 127)]), number(onnx, TINY)])
    // Unsigned, with 128 for zero: a product of two signed factors is slow on x86. Casting cuts off, so that adding a half rounds.
    const shifted = onnx.node('Add', [onnx.node('Div', [x, step]), number(onnx, 128.5)])
    const rows = onnx.node('Cast', [shifted], { to: onnx.dataType('uint8') })
    const zero = onnx.constant({ dtype: 'uint8', shape: [], data: Uint8Array.of(128) })
    const product = onnx.node('MatMulIntegerToFloat', [rows, values, number(onnx, 1), scale, zero], {}, CONTRIB)
    return [onnx.node('Mul', [product, step])]
  },
  gradient: 'none',
})

/** x · M, [rows, outputs], both rounded to whole numbers of 8 bits. */
export const integerProduct = (x: Tensor, { values, scale }: IntegerMatrix): Tensor =>
  integerProductOp([x, values, scale], undefined)

/** A float32 constant. */
export const number = (onnx: OnnxBuilder, value: number) =>
  onnx.constant({ dtype: 'float32', shape: [], data: Float32Array.of(value) })
