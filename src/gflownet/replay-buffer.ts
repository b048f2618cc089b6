/**
 * @file Good latents of each prompt, kept to be learned from again.
 *
 * The rules are those of the paper's code where it is consistent. Where we differ: identity is the tokens, not the decoded
 * text; a newcomer is compared with all of its near neighbours, not with the first one found; and the way of drawing is
 * one setting for every task. The state is plain data, which JSON holds (`replayBufferSchema` reads it back).
 */
import { z } from 'zod'
import type { Draws } from '../random.ts'
import { distanceFrom } from './token-distance.ts'
import { type Trajectory, terminalLogReward, trajectorySchema } from './trajectory.ts'

export const replayConfigSchema = z.strictObject({
  capacity: z.number().int().positive().default(50).describe('latents kept for each prompt'),
  nearDuplicate: z
    .number()
    .min(0)
    .max(1)
    .default(0.25)
    .describe('two latents are near if their edit distance is below this fraction of their joint length; 0: never'),
  drawing: z
    .enum(['uniform', 'priority'])
    .default('uniform')
    .describe('all latents alike, or in proportion to their tempered reward'),
})

export type ReplayConfig = z.output<typeof replayConfigSchema>

/** `prompts` holds at most `capacity` trajectories for each prompt, best terminal reward first, no two of them near. */
export type ReplayBuffer = ReplayConfig & { prompts: Readonly<Record<string, readonly Trajectory[]>> }

export const replayBufferSchema = replayConfigSchema.extend({
  prompts: z.record(z.string(), z.array(trajectorySchema)),
})

export const emptyBuffer = (config: ReplayConfig): ReplayBuffer => ({ ...config, prompts: {} })

/** What is kept for a prompt, best first. */
export const stored = ({ prompts }: ReplayBuffer, promptKey: string): readonly Trajectory[] =>
  Object.hasOwn(prompts, promptKey) ? prompts[promptKey] : [] // a prompt may be called "constructor"

/**
 * The buffer after trajectories of a prompt came by, one after the other. The given buffer is left as it was.
 * - A latent of reward zero, or one that is kept already, is passed over.
 * - Of two near latents the better rewarded one is kept: a newcomer must beat all of its near neighbours, which then
 *   leave; otherwise it does not enter. Of equals the one that is there stays.
 * - Over capacity, the lowest terminal reward leaves; of equals the latest.
 */
export function insert(buffer: ReplayBuffer, promptKey: string, trajectories: readonly Trajectory[]): ReplayBuffer {
  const kept = trajectories
    .filter((trajectory) => Number.isFinite(terminalLogReward(trajectory)))
    .reduce((kept, newcomer) => admit(kept, newcomer, buffer), stored(buffer, promptKey))
  return { ...buffer, prompts: { ...buffer.prompts, [promptKey]: kept } }
}

function admit(kept: readonly Trajectory[], newcomer: Trajectory, config: ReplayConfig): readonly Trajectory[] {
  const logReward = terminalLogReward(newcomer)
  const isFull = kept.length >= config.capacity
  if (isFull && logReward <= terminalLogReward(kept[kept.length - 1])) return kept // the usual case, and the cheap one
  if (kept.some(({ tokens }) => sameTokens(tokens, newcomer.tokens))) return kept
  const isNear = nearTo(newcomer.tokens, config.nearDuplicate)
  const near = kept.filter(({ tokens }) => isNear(tokens))
  if (near.some((neighbour) => terminalLogReward(neighbour) >= logReward)) return kept

  const others = kept.filter((trajectory) => !near.includes(trajectory))
  const better = others.filter((trajectory) => terminalLogReward(trajectory) >= logReward).length
  return others.toSpliced(better, 0, newcomer).slice(0, config.capacity)
}

/**
 * Trajectories of a prompt, drawn with replacement and marked as replayed; none where nothing is kept.
 * By priority, p ∝ R^(1/temperature) of the whole latent.
 * @param temperature  of the reward, today; `uniform` drawing does not depend on it
 */
export function draw(
  buffer: ReplayBuffer,
  promptKey: string,
  { count, temperature }: { count: number; temperature: number },
  draws: Draws,
): Trajectory[] {
  const kept = stored(buffer, promptKey)
  if (kept.length === 0) return []
  const pick =
    buffer.drawing === 'uniform' ? () => draws.integer(kept.length) : pickByPriority(kept, temperature, draws)
  return Array.from({ length: count }, () => ({ ...kept[pick()], source: 'replay' }))
}

function pickByPriority(kept: readonly Trajectory[], temperature: number, draws: Draws): () => number {
  const untempered = ({ tokens, untempered }: Trajectory) => untempered?.[tokens.length] ?? 0
  const [best] = kept
  let total = 0
  const cumulative = kept.map((trajectory) => {
    const gap = terminalLogReward(trajectory) - terminalLogReward(best)
    const constant = untempered(trajectory) - untempered(best)
    total += Math.exp((gap - constant) / temperature + constant)
    return total
  })
  return () => {
    const mark = draws.uniform() * total
    return cumulative.findIndex((sum) => mark < sum)
  }
}

function nearTo(tokens: readonly number[], nearDuplicate: number): (other: readonly number[]) => boolean {
  const distanceTo = distanceFrom(tokens)
  return (other) => {
    const limit = (tokens.length + other.length) * nearDuplicate
    const atLeast = Math.abs(tokens.length - other.length) // spares most of the distances
    return atLeast < limit && distanceTo(other) < limit
  }
}

const sameTokens = (a: readonly number[], b: readonly number[]) =>
  a.length === b.length && a.every((token, i) => token === b[i])
