/**
 * @file Methods that answer better the more they compute, each with the one dial that a budget turns: beams, candidates,
 * proposals, particles, steps of a chain. Whatever the dial says, N latents are given.
 */
import { beam } from '../../baselines/beam.ts'
import { bestOfN } from '../../baselines/best-of-n.ts'
import { diverseBeam } from '../../baselines/diverse-beam.ts'
import { importanceResampling } from '../../baselines/importance-resampling.ts'
import { type BaselineName, baselines } from '../../baselines/index.ts'
import type { Answer, Cost, InferenceMethod, Query } from '../../baselines/method.ts'
import type { Proposals } from '../../baselines/proposals.ts'
import { systematicResample } from '../../baselines/resampling.ts'
import { logMeanExp } from '../../log-space.ts'
import type { Lane } from '../../models/lane.ts'

/** N latents, or one; also log Ẑ where weights gave them, and the proposals where these are independent. */
export type Given = Pick<Answer, 'latents' | 'logQ'> & { logZ?: number; proposals?: Proposals; cost: Cost }

export type BudgetedName = Extract<
  BaselineName,
  'beam' | 'diverse-beam' | 'best-of-n' | 'importance-resampling' | 'sequential-monte-carlo' | 'metropolis-hastings'
>

/** Answers a query with so much computing for each latent: `size` is a whole number of at least 1. */
type Sized = (lane: Lane, query: Query, size: number) => Promise<Given>

const sizedBy =
  (method: (size: number) => InferenceMethod): Sized =>
  (lane, query, size) =>
    method(size).run(lane, query)

export const budgeted: Readonly<Record<BudgetedName, Sized>> = {
  beam: sizedBy(beam),
  'diverse-beam': sizedBy(diverseBeam),
  'best-of-n': sizedBy(bestOfN),
  'importance-resampling': async (lane, query, size) => {
    const answer = await importanceResampling(size).run(lane, query)
    return { ...answer, logZ: logMeanExp(answer.proposals.logWeights) }
  },
  'sequential-monte-carlo': async (lane, query, size) => {
    const particles = { ...query, samples: query.samples * size }
    const { latents, logWeights, cost } = await baselines['sequential-monte-carlo'].run(lane, particles)
    const chosen = systematicResample(logWeights, query.samples, query.draws.uniform())
    return { latents: chosen.map((i) => latents[i]), logZ: logMeanExp(logWeights), cost }
  },
  /** The states of one chain that are `size` steps apart. */
  'metropolis-hastings': async (lane, query, size) => {
    const states = { ...query, samples: query.samples * size }
    const { latents, cost } = await baselines['metropolis-hastings'].run(lane, states)
    return { latents: latents.filter((_, i) => (i + 1) % size === 0), cost }
  },
}

export const isBudgeted = (name: BaselineName): name is BudgetedName => Object.hasOwn(budgeted, name)

/** What comes this near to a budget has used it. */
const USED = 0.9
/** Trials for each budget: a size is guessed from the costs of the sizes before, and grows by so much at a time. */
const TRIALS = 4
const MOST_GROWTH = 4
type Trial = { forwardTokens: number }
type Sizes<Result> = readonly (Result & { size: number })[]

/**
 * For each budget the largest run that was found to keep within it; undefined where not even the smallest does.
 * @param budgets   forward tokens, ascending
 * @param perQuery  latents that are wanted. No more are computed than the budget has tokens, though repeated ones cost nothing
 * @param run       costs more for larger sizes, nearly in proportion
 */
export async function runsWithin<Result extends Trial>(
  budgets: readonly number[],
  perQuery: number,
  run: (size: number) => Promise<Result>,
): Promise<((Result & { size: number }) | undefined)[]> {
  const tried = [{ ...(await run(1)), size: 1 }]
  const largestWithin = (budget: number) =>
    tried.filter(({ forwardTokens }) => forwardTokens <= budget).sort((a, b) => b.size - a.size)[0] as
      | (typeof tried)[number]
      | undefined
  const found: ReturnType<typeof largestWithin>[] = []
  for (const budget of budgets) {
    for (let trial = 0; trial < TRIALS; trial++) {
      const within = largestWithin(budget)
      if (!within || within.forwardTokens >= USED * budget) break
      const size = Math.min(guessSize(tried, within, budget), Math.floor(budget / perQuery))
      if (size <= within.size) break
      tried.push({ ...(await run(size)), size })
    }
    found.push(largestWithin(budget))
  }
  return found
}

/** Where the line through the largest run within the budget and its neighbour, one above where there is one, meets the budget. */
function guessSize(tried: Sizes<Trial>, within: Sizes<Trial>[number], budget: number): number {
  const ascending = [...tried].sort((a, b) => a.size - b.size)
  const above = ascending.find(({ size }) => size > within.size)
  const other = above ?? ascending.findLast(({ size }) => size < within.size) ?? { size: 0, forwardTokens: 0 }
  const perSize = (within.forwardTokens - other.forwardTokens) / (within.size - other.size)
  const meets = within.size + (budget - within.forwardTokens) / perSize
  const most = above ? above.size - 1 : MOST_GROWTH * within.size
  return Math.floor(perSize > 0 ? Math.min(meets, most) : most)
}
