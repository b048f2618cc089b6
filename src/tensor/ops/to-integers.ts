/** @file The int8 copy of a frozen matrix, made where the matrix is, however it is stored. */
import { int64 } from '../../runtime/host-tensor.ts'
import { defineOp } from '../define-op.ts'
import type { OnnxBuilder } from '../onnx.ts'
import { type IntegerMatrix, number, TINY } from './integers.ts'
import { decode, type StoredMatrix } from './stored.ts'

type Source = Pick<StoredMatrix, 'storage' | 'shape'> & { transposed: boolean }

export const toIntegersOp = defineOp<Source>('toIntegers', {
  outputs: (_, { shape: [rows, columns], transposed }) => {
    const [inputs, outputs] = transposed ? [columns, rows] : [rows, columns]
    return [
      { shape: [inputs, outputs], dtype: 'int8' },
      { shape: [outputs], dtype: 'float32' },
    ]
  },
  emit: (onnx, parts, { storage, shape, transposed }) => {
    const matrix = decode(onnx, storage, parts, (part) => part, shape)
    const over = onnx.constant(int64([1], [transposed ? 1 : 0]))
    const extreme = (type: string) => onnx.node(type, [matrix, over], { keepdims: 0 })
    const magnitude = onnx.node('Max', [extreme('ReduceMax'), onnx.node('Neg', [extreme('ReduceMin')])])
    const scale = onnx.node('Max', [onnx.node('Div', [magnitude, largest(onnx)]), number(onnx, TINY)])
    const quantized = onnx.node('QuantizeLinear', [matrix, scale], {
      axis: transposed ? 0 : 1,
      output_dtype: onnx.dataType('int8'),
    })
    return [transposed ? onnx.node('Transpose', [quantized], { perm: [1, 0] }) : quantized, scale]
  },
  gradient: 'none',
})

/** The whole numbers nearest to a frozen matrix; `transposed` where it is stored [outputs, inputs]. */
export function toIntegers({ storage, shape, parts }: StoredMatrix, transposed: boolean): IntegerMatrix {
  const [values, scale] = toIntegersOp.all(parts, { storage, shape, transposed })
  return { values, scale }
}

/**
 * The largest whole number of a matrix: 127, or half of it where the processor adds two products in 16 bits and cuts off what
 * does not fit, as x86 without VNNI does. A product that is cut off there tells.
 */
function largest(onnx: OnnxBuilder): string {
  const size = 64
  const filled = (dtype: 'uint8' | 'int8', shape: number[], value: number) => {
    const data = new (dtype === "uint8" ? Uint8Array : Int8Array)(shape[0] * shape[1]).fill(value)
    return onnx.constant({ dtype, shape, data })
  }
  const product = onnx.node('MatMulInteger', [filled('uint8', [2, size], 255), filled('int8', [size, size], 127)])
  const whole = (value: number) => onnx.constant({ dtype: 'int32', shape: [], data: Int32Array.of(value) })
  const least = onnx.node('ReduceMin', [product], { keepdims: 0 })
  const isExact = onnx.node('Equal', [least, whole(size * 255 * 127)])
  return onnx.node('Where', [isExact, number(onnx, 127), number(onnx, 63)])
}
