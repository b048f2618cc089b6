/** @file What tests of baselines hold them against: every conditional probability of a small problem, and χ². */
import type { Query } from '../src/baselines/method.ts'
import type { EnumeratedProblem } from '../src/evaluation/enumerate.ts'
import { scoreUnderPolicy } from '../src/gflownet/policy.ts'
import { type Draws, seededRandom } from '../src/random.ts'
import { type Latent, statesOf, type TokenLists } from '../src/sampling/latent.ts'
import type { BoundTool } from '../src/sampling/tools.ts'
import { rewards } from './exact-posterior.ts'
import { actionsOf, keyOf, keysOf } from './with-tool.ts'

/** log q of every token, ⊤ among them, after every prefix; a prefix is named by the tokens that were chosen. */
export type Conditionals = Map<string, Map<number, number>>

/** From one packed pass over all latents, without a cache: nothing in common with how baselines decode. */
export async function exactConditionals({ model, support, ...given }: EnumeratedProblem): Promise<Conditionals> {
  const policy = { model: model.description, support }
  const scores = await model.lanes.use((lane) => scoreUnderPolicy(lane, policy, given))
  const found: Conditionals = new Map()
  const note = (prefix: readonly number[], token: number, logQ: number) => {
    if (!found.has(`${prefix}`)) found.set(`${prefix}`, new Map())
    if (logQ > -Infinity) found.get(`${prefix}`)!.set(token, logQ)
  }
  for (const [n, tokens] of given.latents.entries()) {
    const inserted = given.inserted?.[n] ?? []
    const actions = actionsOf({ tokens, inserted })
    for (const [k, place] of statesOf(tokens.length, inserted).entries()) {
      note(actions.slice(0, k), support.stop, scores[n].logStop[place])
      if (k < actions.length) note(actions.slice(0, k), actions[k], scores[n].logTokens[place])
    }
  }
  return found
}

/** A query about an enumerated problem: the tempered reward at temperature 3 unless said otherwise. */
export const queryOf = (
  { model, support, prompt, tool }: EnumeratedProblem & { tool?: BoundTool },
  { samples, draws, ...rest }: { samples: number; draws?: Draws } & Partial<Omit<Query, 'samples' | 'draws'>>,
): Query => ({
  sampler: { model: model.description, support, tool },
  tokenizer: model.tokenizer,
  prompt,
  reward: rewards.tempered,
  rewardTemperature: 3,
  samples,
  draws: draws ?? seededRandom(1).at('query'),
  ...rest,
})

/**
 * χ² of latents against their exact log-probabilities, in standard deviations above its mean: below 4 for draws from just
 * that distribution but once in thousands. Outcomes that are expected fewer than five times are one cell.
 * A latent that is not possible gives Infinity.
 */
export function chiSquareExcess(
  drawn: readonly Latent[],
  possible: TokenLists,
  logProbabilities: ArrayLike<number>,
): number {
  const counts = new Map<string, number>()
  for (const latent of drawn) counts.set(keyOf(latent), (counts.get(keyOf(latent)) ?? 0) + 1)
  const keys = keysOf(possible)
  const cells = keys.map((key, i) => ({
    expected: drawn.length * Math.exp(logProbabilities[i]),
    seen: counts.get(key) ?? 0,
  }))
  if ([...counts.keys()].some((key) => !keys.includes(key))) return Infinity
  if (cells.some(({ expected, seen }) => expected === 0 && seen > 0)) return Infinity
  const common = cells.filter(({ expected }) => expected >= 5)
  const rare = cells.filter(({ expected }) => expected < 5)
  const sum = (key: 'expected' | 'seen') => rare.reduce((total, cell) => total + cell[key], 0)
  const tested = sum('expected') >= 5 ? [...common, { expected: sum('expected'), seen: sum('seen') }] : common
  const chiSquare = tested.reduce((total, { expected, seen }) => total + (seen - expected) ** 2 / expected, 0)
  const freedom = tested.length - 1
  return (chiSquare - freedom) / Math.sqrt(2 * freedom)
}
