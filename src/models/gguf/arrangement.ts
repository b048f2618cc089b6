/**
 * @file Tensors that GGUF keeps in another order than Hugging Face checkpoints: transposed, or with rows that llama.cpp's
 * kernels want elsewhere. Both directions are here, so that they undo each other.
 */

/** `transposed`, or rows that are moved. */
export type Arrangement = 'transposed' | RowOrder

/** For each row of the file the row that it is in a checkpoint; the number of rows must be a multiple of `divisor`. */
export type RowOrder = { divisor: number; checkpointRow: (storedRow: number, rows: number) => number }

/**
 * Llama's queries and keys: within a head, the file has the two elements of each rotated pair side by side, a checkpoint
 * has the first elements of all pairs before the second ones.
 */
export function rotaryPairs(heads: number): Arrangement {
  return {
    divisor: 2 * heads,
    checkpointRow: (row, rows) => {
      const headWidth = rows / heads
      const within = row % headWidth
      return row - within + (within % 2) * (headWidth / 2) + Math.floor(within / 2)
    },
  }
}

/** GPT-NeoX's fused projection: the file has all queries, all keys, all values; a checkpoint has them head by head. */
export function fusedHeads(heads: number): Arrangement {
  return {
    divisor: 3 * heads,
    checkpointRow: (row, rows) => {
      const headWidth = rows / heads / 3
      const [kind, head] = [Math.floor(row / (heads * headWidth)), Math.floor(row / headWidth) % heads]
      return (head * 3 + kind) * headWidth + (row % headWidth)
    },
  }
}

/** The shape in a file of a tensor that has this shape in a checkpoint, and the other way round. */
export const arrangedShape = (shape: readonly number[], arrangement: Arrangement | undefined): readonly number[] =>
  arrangement === 'transposed' ? shape.toReversed() : shape

/** The values of a file, [rows, …] as stored, in the order of a checkpoint. */
export function toCheckpoint(values: Float32Array, storedShape: readonly number[], arrangement: Arrangement) {
  if (arrangement === 'transposed') return transposed(values, storedShape)
  return rowsMoved(values, storedShape[0], (row, rows) => [row, arrangement.checkpointRow(row, rows)])
}

/** The values of a checkpoint, of this shape there, in the order of a file. */
export function toStored(values: Float32Array, shape: readonly number[], arrangement: Arrangement) {
  if (arrangement === 'transposed') return transposed(values, shape)
  return rowsMoved(values, shape[0], (row, rows) => [arrangement.checkpointRow(row, rows), row])
}

type Move = (row: number, rows: number) => readonly [from: number, to: number]

function rowsMoved(values: Float32Array, rows: number, move: Move): Float32Array {
  const width = values.length / rows
  const moved = new Float32Array(values.length)
  for (let row = 0; row < rows; row++) {
    const [from, to] = move(row, rows)
    moved.set(values.subarray(from * width, (from + 1) * width), to * width)
  }
  return moved
}

function transposed(values: Float32Array, [rows, columns]: readonly number[]): Float32Array {
  const turned = new Float32Array(values.length)
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) turned[column * rows + row] = values[row * columns + column]
  return turned
}
