/**
 * @file Latents while they are drawn. Every row is fed one token a step. A row that has been fed all of its tokens draws
 * the next one; a tool may add to what was drawn, and the row then catches up, fed what it did not draw. So rows stay
 * in step, whatever a tool did to which of them.
 */
import { isForced, type Support } from './support.ts'
import type { BoundTool } from './tools.ts'

export type Growth = {
  /** All latents so far, in the order of the samples. */
  readonly latents: readonly { tokens: number[]; inserted: number[] }[]
  /** The samples that go on. */
  readonly rows: readonly number[]
  /** How many tokens of each row that goes on the policy has chosen. */
  actions(): number[]
  /**
   * Takes what was drawn after `fed` tokens, one token for each row that goes on.
   * @returns which of them still go on, by their places among `rows`
   */
  take(drawn: ArrayLike<unknown>, fed: number): Promise<number[]>
}

/**
 * @param room tokens that the context has beside the prompt; an insertion is left out where the latent's remaining
 * actions and ⊤ would no longer fit
 */
export function growLatents(
  count: number,
  { support, tool, room }: { support: Support; tool?: BoundTool; room: number },
): Growth {
  const latents = Array.from({ length: count }, () => ({ tokens: [] as number[], inserted: [] as number[] }))
  const actionsOf = (row: number) => latents[row].tokens.length - latents[row].inserted.length
  let rows = latents.map((_, row) => row)

  const act = async (row: number, action: number) => {
    const { tokens, inserted } = latents[row]
    tokens.push(action)
    if (!tool) return
    const result = await tool(tokens)
    const left = support.maxTokens - actionsOf(row) + 1 // actions and ⊤
    if (tokens.length + result.length + left > room) return
    for (const token of result) inserted.push(tokens.push(token) - 1)
  }

  return {
    latents,
    get rows() {
      return rows
    },
    actions: () => rows.map(actionsOf),
    async take(drawn, fed) {
      const chosen = rows.map((row, i) => (latents[row].tokens.length === fed ? Number(drawn[i]) : undefined))
      const goesOn = rows.map((_, i) => i).filter((i) => chosen[i] !== support.stop)
      await Promise.all(
        goesOn.map((i) => {
          const action = chosen[i]
          return action === undefined ? undefined : act(rows[i], action)
        }),
      )
      const open = goesOn.filter((i) => !isForced(support, actionsOf(rows[i])))
      rows = open.map((i) => rows[i])
      return open
    },
  }
}
