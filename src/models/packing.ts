/**
 * @file Token layouts. All samples of a step share their prompt, so it is packed once; the latents follow one after
 * another without padding; branches (an ending after some prefix of a latent) come last. A linear layer sees one
 * [tokens, width] matrix. Only attention needs to know who belongs to whom, and reads it from the arrays made here:
 * `rows` say which packed token stands at each place of a padded [rows, length] grid (−1: padding), `places` are the
 * inverse.
 */
import { int64, type NamedTensors } from '../runtime/host-tensor.ts'
import type { TensorType } from '../tensor/tensor.ts'

/** Tokens that continue one latent after its first `prefix` tokens: a fixed ending, a label. */
export type Branch = { latent: number; prefix: number; tokens: readonly number[] }

/** A prompt, latents that follow it, and branches that follow prefixes of the latents. */
export type Pack = {
  prompt: readonly number[]
  latents: readonly (readonly number[])[]
  branches?: readonly Branch[]
}

const whole = (...shape: string[]): TensorType => ({ dtype: 'int64', shape })

/** What a program over a prompt and its latents reads. */
export const latentInputs = {
  promptTokens: whole('prompt'),
  latentTokens: whole('latent'),
  latentPositions: whole('latent'),
  latentRows: whole('samples', 'length'),
  latentPlaces: whole('latent'),
}

/** What a program reads besides, where branches follow. `branchContext`: each branch's own prefix, −1 after its end. */
export const branchInputs = {
  branchTokens: whole('branch'),
  branchPositions: whole('branch'),
  branchRows: whole('branches', 'branchLength'),
  branchPlaces: whole('branch'),
  branchContext: whole('branches', 'context'),
}

export type PackedTokens = {
  inputs: NamedTensors
  /** Packed index of token i of latent n; for i = −1 the last token of the prompt, which prefix 0 follows. */
  latentToken: (latent: number, i: number) => number
  /** Packed index of token i of branch b; for i = −1 the token that the branch follows. */
  branchToken: (branch: number, i: number) => number
}

/** Lays out a pack. The prompt must have a token: the first token of a latent is predicted from it. */
export function packTokens({ prompt, latents, branches }: Pack): PackedTokens {
  if (prompt.length === 0) throw new Error('a prompt needs at least one token (such as the one that begins a text)')
  // A grid without any token has no element to pad with; one that nobody looks at stands in.
  const rows = latents.every(({ length }) => length === 0) ? [[prompt[0]], ...latents.slice(1)] : latents
  const grid = packRows(rows)
  const start = prompt.length
  const latentToken = (latent: number, i: number) => (i < 0 ? start - 1 : start + grid.first[latent] + i)
  const inputs: NamedTensors = {
    promptTokens: vector(prompt),
    latentTokens: vector(rows.flat()),
    latentPositions: vector(rows.flatMap((row) => row.map((_, i) => start + i))),
    latentRows: grid.rows,
    latentPlaces: grid.places,
  }
  if (!branches) return { inputs, latentToken, branchToken: () => Number.NaN }

  const branchGrid = packRows(branches.map(({ tokens }) => tokens))
  const branchStart = start + rows.reduce((sum, row) => sum + row.length, 0)
  const context = Math.max(1, ...branches.map(({ prefix }) => prefix))
  const ancestors = branches.flatMap(({ latent, prefix }) =>
    Array.from({ length: context }, (_, i) => (i < prefix ? grid.first[latent] + i : -1)),
  )
  return {
    inputs: {
      ...inputs,
      branchTokens: vector(branches.flatMap(({ tokens }) => tokens)),
      branchPositions: vector(branches.flatMap(({ prefix, tokens }) => tokens.map((_, i) => start + prefix + i))),
      branchRows: branchGrid.rows,
      branchPlaces: branchGrid.places,
      branchContext: int64([branches.length, context], ancestors),
    },
    latentToken,
    branchToken: (branch, i) =>
      i < 0
        ? latentToken(branches[branch].latent, branches[branch].prefix - 1)
        : branchStart + branchGrid.first[branch] + i,
  }
}

const vector = (values: readonly number[]) => int64([values.length], values)

/** A padded grid over rows of unequal length that are packed one after another. */
function packRows(rows: readonly (readonly number[])[]) {
  const length = Math.max(...rows.map((row) => row.length))
  const first: number[] = []
  const grid: number[] = []
  const places: number[] = []
  for (const row of rows) {
    first.push(places.length)
    for (let i = 0; i < length; i++) {
      if (i < row.length) places.push(grid.length)
      grid.push(i < row.length ? first[first.length - 1] + i : -1)
    }
  }
  return { first, rows: int64([rows.length, length], grid), places: vector(places) }
}
