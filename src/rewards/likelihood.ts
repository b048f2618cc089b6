/**
 * @file Rewards that follow from likelihoods under the reference model. They say what they ask, so that a product of them
 * reads latents once for all of its factors that read them after the same X in the same way.
 */
import { scoreEndings } from './prefix-scores.ts'
import {
  defineReward,
  type Likelihood,
  type PrefixRewards,
  type Reward,
  type RewardContext,
  type ScoreLatents,
} from './reward.ts'

type Latents = readonly (readonly number[])[]

/** A reward that follows from the likelihoods of latents and of endings after them. */
export function defineLikelihood(name: string, likelihood: Likelihood): Reward & Required<Pick<Reward, 'check'>> {
  const score: ScoreLatents = async (context, latents) => (await scoreTogether([score], context, latents))[0]
  score.likelihood = likelihood
  return defineReward(name, score)
}

/** What each of some rewards says of the same latents, one after another; likelihoods after the same X are asked for at once. */
export async function scoreTogether(
  scores: readonly ScoreLatents[],
  context: RewardContext,
  latents: Latents,
): Promise<PrefixRewards[]> {
  const asked = scores.map(({ likelihood }) => likelihood?.ask(context))
  const keys = asked.map((ask, i) => (ask ? JSON.stringify([ask.before, ask.reading]) : `${i}`))
  const results: PrefixRewards[] = []
  for (const [i, score] of scores.entries()) {
    const ask = asked[i]
    if (!ask) results[i] = await score(context, latents)
    if (!ask || keys.indexOf(keys[i]) < i) continue
    const alike = [...keys.keys()].filter((other) => keys[other] === keys[i])
    const endings = alike.flatMap((other) => asked[other]!.endings)
    const found = await scoreEndings(context, ask.before, latents, endings, ask.reading)
    for (const other of alike) {
      const own = found.endings.splice(0, asked[other]!.endings.length)
      results[other] = scores[other].likelihood!.answer(context, latents, { latent: found.latent, endings: own })
    }
  }
  return results
}
