/**
 * @file Frozen matrices that take less memory than float32: stored in 16, 8 or 4 bits, computed with in float32. They are
 * decoded inside the graph just before they are used and forgotten just after, forward and again backward, so that no
 * more than one layer is ever held in float32. Gradients flow through them to what they multiply, never into them.
 */
import { defineOp, type OpFunction } from '../define-op.ts'
import { CONTRIB, type OnnxBuilder } from '../onnx.ts'
import { shapeError } from '../shape.ts'
import type { Tensor, TensorType } from '../tensor.ts'
import { emitAfterwards } from './afterwards.ts'
import { gather } from './gather.ts'
import { type IntegerMatrix, integerProduct } from './integers.ts'
import { transpose } from './layout.ts'
import { matmul } from './matmul.ts'

/**
 * - `float16`: IEEE half precision.
 * - `int8`: whole numbers of −127..127 times a scale for each block.
 * - `int4`: whole numbers of 0..15 less a zero point, times a scale for each block. A byte holds column c in its low bits
 *   and column c + columns / 2 in its high bits, so that unpacking is one shift and one concatenation.
 */
export const storages = ['float32', 'float16', 'int8', 'int4'] as const
export type Storage = (typeof storages)[number]

/** Neighbours in a row that share a scale. */
export const BLOCK = 32
const BLOCKED_COLUMNS = 2 * BLOCK // the two halves of a row must consist of whole blocks

/** Can a matrix of so many columns be stored in blocks? */
export const fitsBlocks = (columns: number) => columns % BLOCKED_COLUMNS === 0

/** The arrays that hold a matrix [rows, columns], by what is appended to its name. */
export function storedTypes(storage: Storage, [rows, columns]: readonly number[]): Record<string, TensorType> {
  const blocks = [rows, columns / BLOCK]
  switch (storage) {
    case 'int8':
      return { '': { dtype: 'int8', shape: [rows, columns] }, '.scale': { dtype: 'float16', shape: blocks } }
    case 'int4':
      return {
        '': { dtype: 'uint8', shape: [rows, columns / 2] },
        '.scale': { dtype: 'float16', shape: blocks },
        '.zero': { dtype: 'uint8', shape: blocks },
      }
    default:
      return { '': { dtype: storage, shape: [rows, columns] } }
  }
}

/**
 * A frozen matrix as symbols: its arrays in the order of `storedTypes`, and in programs that have an int8 copy of it that one, as
 * the layer multiplies with it.
 */
export type StoredMatrix = {
  storage: Storage
  shape: readonly number[]
  parts: readonly Tensor[]
  integers?: IntegerMatrix
}

type Stored = Pick<StoredMatrix, 'storage' | 'shape'>

type Product = Stored & { transposed: boolean }
export const storedProductOp: OpFunction<Product> = defineOp<Product>('storedProduct', {
  outputs: ([x], { shape: [rows, columns], transposed }) => {
    if (x.shape.length !== 2 || x.shape[1] !== (transposed ? columns : rows))
      throw shapeError('cannot multiply', x.shape, transposed ? [columns, rows] : [rows, columns])
    return [{ shape: [x.shape[0], transposed ? rows : columns], dtype: 'float32' }]
  },
  emit: (onnx, [x, ...parts], { storage, shape, transposed }) => {
    // Left to itself the runtime would decode every layer before the first is computed, and keep for the backward pass
    // what the forward pass decoded.
    const late = (part: string, type: TensorType) => emitAfterwards(onnx, part, onnx.shape(type.shape), x)
    const matrix = decode(onnx, storage, parts, late, shape)
    return [
      transposed
        ? onnx.node('FusedMatMul', [x, matrix], { transA: 0, transB: 1, alpha: { float: 1 } }, CONTRIB)
        : onnx.node('MatMul', [x, matrix]),
    ]
  },
  gradient: ({ inputs: [, ...parts], upstream, attributes: { storage, shape, transposed } }) => [
    storedProductOp([upstream, ...parts], { storage, shape, transposed: !transposed }),
    ...parts.map(() => undefined),
  ],
})

/**
 * x·Mᵀ, [tokens, rows].
 * @param fewTokens  for tens of tokens and not hundreds: (M·xᵀ)ᵀ is the same product, and spares the runtime from rearranging the
 * whole matrix for so little use
 */
export function storedProduct(
  x: Tensor,
  matrix: StoredMatrix,
  { fewTokens = false }: { fewTokens?: boolean } = {},
): Tensor {
  const { storage, shape, parts, integers } = matrix
  if (integers) return integerProduct(x, integers)
  if (storage !== 'float32') return storedProductOp([x, ...parts], { storage, shape, transposed: true })
  if (fewTokens) return transpose(matmul(parts[0], x, { transposeB: true }), [1, 0])
  return matmul(x, parts[0], { transposeB: true })
}

export const storedRowsOp = defineOp<Stored>('storedRows', {
  outputs: ([index], { shape }) => [{ shape: [...index.shape, shape[1]], dtype: 'float32' }],
  emit: (onnx, [index, ...parts], { storage, shape }) => [
    decode(onnx, storage, parts, (part) => onnx.node('Gather', [part, index], { axis: 0 }), [-1, shape[1]]),
  ],
  gradient: 'none',
})

/** Some rows of a matrix, [ids, columns]. */
export function storedRows({ storage, shape, parts }: StoredMatrix, ids: Tensor): Tensor {
  return storage === 'float32' ? gather(parts[0], ids) : storedRowsOp([ids, ...parts], { storage, shape })
}

export const storedValuesOp = defineOp<Stored>('storedValues', {
  outputs: (_, { shape }) => [{ shape, dtype: 'float32' }],
  emit: (onnx, parts, { storage, shape }) => [decode(onnx, storage, parts, (part) => part, shape)],
  gradient: 'none',
})

/** All values of a matrix, at once. */
export const storedValues = ({ storage, shape, parts }: StoredMatrix): Tensor =>
  storage === 'float32' ? parts[0] : storedValuesOp(parts, { storage, shape })

/** The float32 values of a matrix, or of what `take` takes of each of its arrays. */
export function decode(
  onnx: OnnxBuilder,
  storage: Storage,
  parts: readonly string[],
  take: (part: string, type: TensorType) => string,
  shape: readonly number[],
): string {
  const types = Object.values(storedTypes(storage, shape))
  const [values, scale, zero] = parts.map((part, i) => take(part, types[i]))
  const toFloat = (value: string) => onnx.node('Cast', [value], { to: onnx.dataType('float32') })
  const blocks = { axis: 1, block_size: BLOCK }
  switch (storage) {
    case 'float32':
      return values
    case 'float16':
      return toFloat(values)
    case 'int8':
      return onnx.node('DequantizeLinear', [values, toFloat(scale)], blocks)
    case 'int4':
      return onnx.node('DequantizeLinear', [unpack(onnx, values), toFloat(scale), zero], blocks)
  }
}

/** Numbers of 4 bits as bytes of their own. */
function unpack(onnx: OnnxBuilder, packed: string): string {
  const byte = (value: number) => onnx.constant({ dtype: 'uint8', shape: [], data: Uint8Array.of(value) })
  const low = onnx.node('BitwiseAnd', [packed, byte(15)])
  const high = onnx.node('BitShift', [packed, byte(4)], { direction: 'RIGHT' })
  return onnx.node('Concat', [low, high], { axis: 1 })
}
