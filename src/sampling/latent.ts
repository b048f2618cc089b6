/**
 * @file A latent as plain data. A tool may write some of its tokens: they are in the text, but they are no actions of the
 * policy. They add nothing to log q, and between an action and what a tool adds to it the latent cannot end.
 */

/** The places of a latent's tokens that a tool inserted, ascending. */
export type Inserted = readonly number[]

/** A latent z_1..z_n without ⊤. */
export type Latent = { tokens: readonly number[]; inserted: Inserted }

export const emptyLatent: Latent = { tokens: [], inserted: [] }

/** Latents as lists: what reads many of them at once, such as a reward, reads them so. */
export type TokenLists = {
  latents: readonly (readonly number[])[]
  /** The tokens of each that a tool inserted; absent where no tool had a part. */
  inserted?: readonly Inserted[]
}

export const tokenLists = (latents: readonly Latent[]): TokenLists => ({
  latents: latents.map(({ tokens }) => tokens),
  ...(latents.some(({ inserted }) => inserted.length > 0) && { inserted: latents.map(({ inserted }) => inserted) }),
})

/** A latent as part of a record, which tells of insertions only where there are some. */
export type LatentRecord = { tokens: readonly number[]; inserted?: Inserted }

export const recordOf = ({ tokens, inserted }: Latent): LatentRecord =>
  inserted.length > 0 ? { tokens, inserted } : { tokens }

/**
 * The states of a latent: the prefixes after which the policy acts, by their lengths. After k actions and all that tools
 * added to them `states[k]` tokens are there; the next action is token `states[k]`. Without tools every prefix is a state.
 * @returns [actions + 1], ascending; the last one is the whole latent
 */
export function statesOf(length: number, inserted: Inserted = []): number[] {
  const isInserted = new Set(inserted)
  return Array.from({ length: length + 1 }, (_, prefix) => prefix).filter((prefix) => !isInserted.has(prefix))
}
