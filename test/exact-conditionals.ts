/** @file What tests of baselines hold them against: every conditional probability of a small problem, and χ². */
import type { Query } from '../src/baselines/method.ts'
import type { EnumeratedProblem } from '../src/evaluation/enumerate.ts'
import { scoreUnderPolicy } from '../src/gflownet/policy.ts'
import { type Draws, seededRandom } from '../src/random.ts'
import { rewards } from './exact-posterior.ts'

/** log q of every token, ⊤ among them, after every prefix; a prefix is named by its tokens. */
export type Conditionals = Map<string, Map<number, number>>

/** From one packed pass over all latents, without a cache: nothing in common with how baselines decode. */
export async function exactConditionals({ model, support, prompt, latents }: EnumeratedProblem): Promise<Conditionals> {
  const policy = { model: model.description, support }
  const scores = await model.lanes.use((lane) => scoreUnderPolicy(lane, policy, { prompt, latents }))
  const found: Conditionals = new Map()
  const note = (prefix: readonly number[], token: number, logQ: number) => {
    if (!found.has(`${prefix}`)) found.set(`${prefix}`, new Map())
    if (logQ > -Infinity) found.get(`${prefix}`)!.set(token, logQ)
  }
  for (const [n, latent] of latents.entries())
    for (let i = 0; i <= latent.length; i++) {
      note(latent.slice(0, i), support.stop, scores[n].logStop[i])
      if (i < latent.length) note(latent.slice(0, i), latent[i], scores[n].logTokens[i])
    }
  return found
}

/** A query about an enumerated problem: the tempered reward at temperature 3 unless said otherwise. */
export const queryOf = (
  { model, support, prompt }: EnumeratedProblem,
  { samples, draws, ...rest }: { samples: number; draws?: Draws } & Partial<Omit<Query, 'samples' | 'draws'>>,
): Query => ({
  sampler: { model: model.description, support },
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
  drawn: readonly (readonly number[])[],
  latents: readonly (readonly number[])[],
  logProbabilities: ArrayLike<number>,
): number {
  const counts = new Map<string, number>()
  for (const latent of drawn) counts.set(`${latent}`, (counts.get(`${latent}`) ?? 0) + 1)
  const cells = latents.map((latent, i) => ({
    expected: drawn.length * Math.exp(logProbabilities[i]),
    seen: counts.get(`${latent}`) ?? 0,
  }))
  if (cells.some(({ expected, seen }) => expected === 0 && seen > 0)) return Infinity
  const common = cells.filter(({ expected }) => expected >= 5)
  const rare = cells.filter(({ expected }) => expected < 5)
  const sum = (key: 'expected' | 'seen') => rare.reduce((total, cell) => total + cell[key], 0)
  const tested = sum('expected') >= 5 ? [...common, { expected: sum('expected'), seen: sum('seen') }] : common
  const chiSquare = tested.reduce((total, { expected, seen }) => total + (seen - expected) ** 2 / expected, 0)
  const freedom = tested.length - 1
  return (chiSquare - freedom) / Math.sqrt(2 * freedom)
}
