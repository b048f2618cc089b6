/** @file What a tool makes of a policy's choices, by its definition. */
import type { Latent, TokenLists } from '../src/sampling/latent.ts'
import type { BoundTool, Tool } from '../src/sampling/tools.ts'

/** The latent of some choices: after each, what the tool says. */
export async function withTool(tool: BoundTool, actions: readonly number[]): Promise<Latent> {
  const tokens: number[] = []
  const inserted: number[] = []
  for (const action of actions) {
    tokens.push(action)
    for (const token of await tool(tokens)) inserted.push(tokens.push(token) - 1)
  }
  return { tokens, inserted }
}

/** The tokens that the policy chose. */
export const actionsOf = ({ tokens, inserted }: Latent) => tokens.filter((_, i) => !inserted.includes(i))

/** A name for a latent; tokens that a tool inserted are told from the same ones chosen. */
export const keyOf = ({ tokens, inserted }: Latent) => `${tokens}|${inserted}`
export const keysOf = ({ latents, inserted }: TokenLists) =>
  latents.map((tokens, n) => keyOf({ tokens, inserted: inserted?.[n] ?? [] }))

/** After a word one of some texts, by what came before. */
export const adding = (trigger: string, answers: readonly (string | undefined)[]): Tool => ({
  name: 'adding',
  trigger,
  respond: (text) => answers[text.length % answers.length],
})
