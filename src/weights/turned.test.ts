import { expect, it } from 'vitest'
import { float32, type HostTensor } from '../runtime/host-tensor.ts'
import { openWeights } from './open-weights.ts'
import { turned, withTurned } from './turned.ts'

/** Rows and columns that do and do not divide into strips, and a matrix of each value once. */
const matrices = [
  [1, 1],
  [1, 40],
  [40, 1],
  [16, 32],
  [37, 50],
].map(([rows, columns]) =>
  float32(
    [rows, columns],
    Array.from({ length: rows * columns }, (_, i) => i),
  ),
)

/** Row by row, the columns of a matrix. */
const columns = ({ shape: [rows, columns], data }: HostTensor) =>
  Array.from({ length: rows * columns }, (_, i) => Number(data[(i % rows) * columns + Math.floor(i / rows)]))

it.each(matrices)('a matrix $shape turned has its columns as rows, and turned twice is itself', (matrix) => {
  const result = turned(matrix)
  expect(result.shape).toEqual([matrix.shape[1], matrix.shape[0]])
  expect([...result.data]).toEqual(columns(matrix))
  expect(turned(result)).toEqual(matrix)
})

it('weights that are stored turned round come whole and in parts of whole rows, others as they are', () => {
  const folder = new URL('../../test/golden/checkpoints/gpt2', import.meta.url).pathname
  const stored = openWeights(folder)
  const name = stored.names.find((name) => name.endsWith('c_attn.weight'))!
  const weights = withTurned(stored, new Set([name]))
  expect(stored.shapeOf(name)).toEqual([32, 96])
  expect(weights.shapeOf(name)).toEqual([96, 32])
  expect(weights.read(name)).toEqual(turned(stored.read(name)))
  const parts = Array.from(weights.parts(name, 5 * 32), (part) => [...part])
  expect(parts.map(({ length }) => length)).toEqual([...Array(19).fill(5 * 32), 32])
  expect(parts.flat()).toEqual([...weights.read(name).data])
  const other = stored.names.find((name) => name.endsWith('c_fc.weight'))!
  expect(weights.shapeOf(other)).toEqual(stored.shapeOf(other))
  expect(weights.read(other)).toEqual(stored.read(other))
  weights.close()
})
