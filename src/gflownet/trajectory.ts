/** @file One sampled latent and its rewards, as plain data: what the objective learns from, the buffer keeps and a run writes. */
import { z } from 'zod'
import type { Latent } from '../sampling/latent.ts'

const sources = ['policy', 'tempered', 'replay', 'data'] as const

/** Where a trajectory is from: the policy itself, the policy at another temperature, the replay buffer, or the user's data. */
export type TrajectorySource = (typeof sources)[number]

export type Trajectory = {
  /** [length], the latent z_1..z_n without ⊤. */
  tokens: readonly number[]
  /** The places of tokens that a tool inserted; absent where it inserted none. */
  inserted?: readonly number[]
  /** [prefixes], untempered log R(z_1..z_i ⊤) for i = 0..n, nats; −Infinity where the latent may not end, or was not asked. */
  logReward: readonly number[]
  /** The probability with which each inner prefix was asked for its reward, independently; absent where all were. */
  inclusion?: number
  /** [prefixes], the part of `logReward` that the reward temperature leaves alone; absent where it tempers all. */
  untempered?: readonly number[]
  source: TrajectorySource
}

/** A latent whose reward nobody asks for. */
export const unrewarded = ({ tokens, inserted }: Latent, source: TrajectorySource): Trajectory => ({
  tokens,
  ...(inserted.length > 0 && { inserted }),
  logReward: new Array<number>(tokens.length + 1).fill(Number.NaN),
  source,
})

/** log R of the whole latent, untempered. */
export const terminalLogReward = ({ tokens, logReward }: Trajectory) => logReward[tokens.length]

/**
 * Reads what `JSON.stringify` wrote of a trajectory. JSON has no −Infinity and stringify writes null for it, which is
 * the only null in a trajectory: it is read back as −Infinity. Every finite number survives to its last bit. (NaN would
 * be written as null too; a reward that is NaN must be refused before it gets here.)
 */
export const trajectorySchema = z
  .strictObject({
    tokens: z.array(z.number().int().nonnegative()),
    inserted: z.array(z.number().int().nonnegative()).optional(),
    logReward: logRewards(),
    inclusion: z.number().gt(0).lt(1).optional(),
    untempered: logRewards().optional(),
    source: z.enum(sources),
  })
  .refine(
    ({ tokens, logReward, untempered = logReward }) =>
      [logReward, untempered].every(({ length }) => length === tokens.length + 1),
    'needs one log-reward for every prefix',
  )
  .refine(
    ({ tokens, inserted = [] }) =>
      inserted.every((place, i) => place < tokens.length && place > (inserted[i - 1] ?? -1)),
    'needs the places of inserted tokens in ascending order',
  )

function logRewards() {
  return z.array(z.number().nullable()).transform((values) => values.map((value) => value ?? -Infinity))
}
