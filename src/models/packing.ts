/**
 * @file Token layouts. All samples of a step share their prompt, so it is packed once; the latents follow one after
 * another without padding. A linear layer sees one [tokens, width] matrix. Only attention needs to know who belongs to
 * whom, and reads it from the arrays made here: `rows` say which packed token stands at each place of a padded
 * [rows, length] grid (−1: padding), `places` are the inverse. The larger layout, with branches and shared prefixes, is
 * in prefix-tree.ts.
 */
import { int64, type NamedTensors } from '../runtime/host-tensor.ts'
import type { Dim } from '../tensor/shape.ts'
import type { TensorType } from '../tensor/tensor.ts'

const whole = (...shape: Dim[]): TensorType => ({ dtype: 'int64', shape })

/** What a program over a prompt and its latents reads. */
export const latentInputs = {
  promptTokens: whole('prompt'),
  latentTokens: whole('latent'),
  latentPositions: whole('latent'),
  latentRows: whole('samples', 'length'),
  latentPlaces: whole('latent'),
}

/** What it reads besides where rows continue earlier rows: the tokens that each row follows, −1 after the last. */
export const latentContextInput = { latentContext: whole('samples', 'latentContextLength') }

/** And where branches follow: their tokens, and the latent tokens that each follows. */
export const branchInputs = {
  branchTokens: whole('branch'),
  branchPositions: whole('branch'),
  branchRows: whole('branches', 'branchLength'),
  branchPlaces: whole('branch'),
  branchContext: whole('branches', 'branchContextLength'),
}

/**
 * Lays out a prompt and its latents, each on a row of its own.
 * @returns the arrays, and the packed index of token i of latent n; for i = −1 that of the prompt's last token
 */
export function packTokens(prompt: readonly number[], latents: readonly (readonly number[])[]) {
  // A grid without any token has no element to pad with; one that nobody looks at stands in.
  const rows = latents.every(({ length }) => length === 0) ? [[prompt[0]], ...latents.slice(1)] : latents
  const grid = packRows(rows)
  const inputs: NamedTensors = {
    promptTokens: vector(prompt),
    latentTokens: vector(rows.flat()),
    latentPositions: vector(rows.flatMap((row) => row.map((_, i) => prompt.length + i))),
    latentRows: grid.rows,
    latentPlaces: grid.places,
  }
  const latentToken = (latent: number, i: number) =>
    i < 0 ? prompt.length - 1 : prompt.length + grid.first[latent] + i
  return { inputs, latentToken }
}

/** A padded grid over rows of unequal length that are packed one after another. `first[r]`: where row r begins. */
export function packRows(rows: readonly (readonly number[])[]) {
  const length = Math.max(...rows.map((row) => row.length))
  const first: number[] = []
  const grid: number[] = []
  const places: number[] = []
  for (const row of rows) {
    const start = places.length
    first.push(start)
    for (let i = 0; i < length; i++) {
      if (i < row.length) places.push(grid.length)
      grid.push(i < row.length ? start + i : -1)
    }
  }
  return { first, rows: int64([rows.length, length], grid), places: vector(places) }
}

export const vector = (values: readonly number[]) => int64([values.length], values)
