/**
 * @file Tensors whose rows GGUF keeps in another order than Hugging Face checkpoints, since llama.cpp's kernels want them elsewhere.
 * Both directions are here, so that they undo each other.
 */

/** For each row of the file the row that it is in a checkpoint; the number of rows must be a multiple of `divisor`. */
export type Arrangement = { divisor: number; checkpointRow: (storedRow: number, rows: number) => number }

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

/** The values of a file, [rows, …], in the order of a checkpoint. */
export const toCheckpoint = (values: Float32Array, [rows]: readonly number[], { checkpointRow }: Arrangement) =>
  rowsMoved(values, rows, (row) => [row, checkpointRow(row, rows)])

/** The values of a checkpoint, [rows, …], in the order of a file. */
export const toStored = (values: Float32Array, [rows]: readonly number[], { checkpointRow }: Arrangement) =>
  rowsMoved(values, rows, (row) => [checkpointRow(row, rows), row])

type Move = (row: number) => readonly [from: number, to: number]

function rowsMoved(values: Float32Array, rows: number, move: Move): Float32Array {
  const width = values.length / rows
  const moved = new Float32Array(values.length)
  for (let row = 0; row < rows; row++) {
    const [from, to] = move(row)
    moved.set(values.subarray(from * width, (from + 1) * width), to * width)
  }
  return moved
}
