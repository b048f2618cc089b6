/** @file One more action of a latent: the token that the policy chose, and what a tool adds to it. */
import { emptyLatent, type Latent } from './latent.ts'
import type { Support } from './support.ts'
import type { BoundTool } from './tools.ts'

/** What latents grow within. */
export type GrowthLimits = {
  support: Support
  tool?: BoundTool
  /** Tokens that the context has beside the prompt. */
  room: number
}

/** An insertion is left out where the latent's remaining actions and ⊤ would no longer fit. */
export async function withAction(
  { tokens, inserted }: Latent,
  action: number,
  { support, tool, room }: GrowthLimits,
): Promise<Latent> {
  const chosen = [...tokens, action]
  const result = tool ? await tool(chosen) : []
  const left = support.maxTokens - (chosen.length - inserted.length) + 1 // actions and ⊤
  if (result.length === 0 || chosen.length + result.length + left > room) return { tokens: chosen, inserted }
  return {
    tokens: [...chosen, ...result],
    inserted: [...inserted, ...result.map((_, i) => chosen.length + i)],
  }
}

/** The latent of a policy's choices. */
export async function latentOf(actions: readonly number[], limits: GrowthLimits): Promise<Latent> {
  let latent = emptyLatent
  for (const action of actions) latent = await withAction(latent, action, limits)
  return latent
}
