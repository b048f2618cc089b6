/**
 * @file Token layouts: the arrays that say where tokens stand. All samples of a step share their prompt, so it is packed
 * once; the latents and branches that prefix-tree.ts lays out follow without padding. A linear layer sees one
 * [tokens, width] matrix. Only attention needs to know who belongs to whom: `rows` say which packed token stands at each
 * place of a padded [rows, length] grid (−1: padding), `places` are the inverse.
 */
import { int64 } from '../runtime/host-tensor.ts'
import type { Dim } from '../tensor/shape.ts'
import type { TensorType } from '../tensor/tensor.ts'

const whole = (...shape: Dim[]): TensorType => ({ dtype: 'int64', shape })

/** What a program over a prompt and its latents reads. */
export const latentInputs = {
  promptTokens: whole('prompt'),
  latentTokens: whole('latent'),
  latentPositions: whole('latent'),
  latentRows: whole('rows', 'length'),
  latentPlaces: whole('latent'),
  latentContext: whole('rows', 'contextLength'), // the latent tokens that each row follows, −1 after the last
}

/** And where branches follow: their tokens, and the latent tokens that each follows. */
export const branchInputs = {
  branchTokens: whole('branch'),
  branchPositions: whole('branch'),
  branchRows: whole('branches', 'branchLength'),
  branchPlaces: whole('branch'),
  branchContext: whole('branches', 'branchContextLength'),
}

/** A padded grid over rows of unequal length that are packed one after another. `first[r]`: where row r begins. */
export function packRows(rows: readonly (readonly number[])[]) {
  const first: number[] = []
  let packed = 0
  const indices = rows.map((row) => {
    first.push(packed)
    return row.map(() => packed++)
  })
  return { first, ...gridOf(indices) }
}

/** A padded grid over rows of packed tokens, each of which stands on one of them. */
export function gridOf(rows: readonly (readonly number[])[]) {
  const length = Math.max(...rows.map((row) => row.length))
  const grid = rows.flatMap((row) => Array.from({ length }, (_, i) => row[i] ?? -1))
  const places: number[] = []
  for (const [place, token] of grid.entries()) if (token >= 0) places[token] = place
  return { rows: int64([rows.length, length], grid), places: vector(places) }
}

export const vector = (values: readonly number[]) => int64([values.length], values)
