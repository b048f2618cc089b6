/** @file The distinct prefixes of latents: what latents share has one place in rewards, and is asked for once. */
import type { Inserted } from '../sampling/latent.ts'

/** `actions`: how many of the prefix's tokens the policy chose; `isInserted`: is the last one a tool's? */
export type PrefixState = {
  id: number
  key: string
  latent: number
  prefix: number
  actions: number
  isInserted: boolean
}

/** The distinct prefixes of all latents, the empty one first, with the first latent that has each. */
export function distinctPrefixes(
  latents: readonly (readonly number[])[],
  inserted: readonly Inserted[] | undefined,
): PrefixState[] {
  const states = new Map<string, PrefixState>()
  for (const [latent, tokens] of latents.entries()) {
    const given = new Set(inserted?.[latent])
    let actions = 0
    for (const [prefix, key] of keysOf(tokens, inserted?.[latent]).entries()) {
      const isInserted = given.has(prefix - 1)
      if (prefix > 0 && !isInserted) actions++
      if (!states.has(key)) states.set(key, { id: states.size, key, latent, prefix, actions, isInserted })
    }
  }
  return [...states.values()]
}

/** A name for every prefix of a latent, the empty one first; tokens that a tool inserted are told from the same ones chosen. */
export function keysOf(tokens: readonly number[], inserted: Inserted = []): string[] {
  const given = new Set(inserted)
  const keys = ['']
  for (const [i, token] of tokens.entries()) keys.push(`${keys[i]} ${token}${given.has(i) ? '+' : ''}`)
  return keys
}
