/** @file The int8 copy of a frozen matrix, made where the matrix is, however it is stored. */
import { int64 } from '../../runtime/host-tensor.ts'
import { defineOp } from '../define-op.ts'
import type { OnnxBuilder } from '../onnx.ts'
import { type IntegerMatrix, number, TINY, turn } from './integers.ts'
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
    const decoded = decode(onnx, storage, parts, (part) => part, shape)
    const ofOutputs = transposed ? decoded : swapAxes(onnx, decoded)
    const matrix = turn(onnx, ofOutputs, shape[transposed ? 1 : 0]) // [outputs, inputs]
    const lastAxis = onnx.constant(int64([1], [1]))
    const extreme = (type: string) => onnx.node(type, [matrix, lastAxis], { keepdims: 0 })
    const magnitude = onnx.node('Max', [extreme('ReduceMax'), onnx.node('Neg', [extreme('ReduceMin')])])
    const scale = onnx.node('Max', [onnx.node('Div', [magnitude, largest(onnx)]), number(onnx, TINY)])
    const to = { axis: 0, output_dtype: onnx.dataType('int8') }
    return [swapAxes(onnx, onnx.node('QuantizeLinear', [matrix, scale], to)), scale]
  },
  gradient: 'none',
})

/** The whole numbers nearest to a turned matrix; `transposed` where it is stored [outputs, inputs]. */
export function toIntegers({ storage, shape, parts }: StoredMatrix, transposed: boolean): IntegerMatrix {
  const [values, scale] = toIntegersOp.all(parts, { storage, shape, transposed })
  return { values, scale }
}

const swapAxes = (onnx: OnnxBuilder, matrix: string) => onnx.node('Transpose', [matrix], { perm: [1, 0] })

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
