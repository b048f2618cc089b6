/**
 * @file Matrices that are stored turned round: [columns, rows] in the file, [rows, columns] for whoever reads it. One is there as a whole
 * while it is turned, and nothing more than the part that is asked for.
 */
import { float32, type HostTensor } from '../runtime/host-tensor.ts'
import type { Weights } from './open-weights.ts'

/** Rows that are read side by side, so that what is read and what is written both stay in the nearest cache. */
const STRIP = 16

/** A float32 matrix turned round. */
export const turned = ({ shape, data }: HostTensor): HostTensor =>
  float32(shape.toReversed(), columnsOf(data as Float32Array, shape, 0, shape[1]))

/** Columns `from` to before `until` of a matrix, one after another. */
function columnsOf(values: Float32Array, [rows, columns]: readonly number[], from: number, until: number) {
  const taken = new Float32Array((until - from) * rows)
  for (let strip = 0; strip < rows; strip += STRIP) {
    const end = Math.min(strip + STRIP, rows)
    for (let column = from; column < until; column++)
      for (let row = strip; row < end; row++) taken[(column - from) * rows + row] = values[row * columns + column]
  }
  return taken
}

/** Open weights of which some are stored turned round. */
export const withTurned = (weights: Weights, names: ReadonlySet<string>): Weights => ({
  ...weights,
  shapeOf: (name) => (names.has(name) ? weights.shapeOf(name).toReversed() : weights.shapeOf(name)),
  read: (name) => (names.has(name) ? turned(weights.read(name)) : weights.read(name)),
  parts: (name, most) => (names.has(name) ? turnedParts(weights.read(name), most) : weights.parts(name, most)),
})

function* turnedParts({ shape, data }: HostTensor, elements: number): Iterable<Float32Array> {
  const [rows, columns] = shape
  const step = Math.floor(elements / rows)
  for (let from = 0; from < columns; from += step)
    yield columnsOf(data as Float32Array, shape, from, Math.min(from + step, columns))
}
