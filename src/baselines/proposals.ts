/** @file Latents proposed by a sampler and weighed by the target: what importance resampling, Metropolis–Hastings and best-of-n begin with. */
import { UserError } from '../errors.ts'
import { temperedRewards } from '../gflownet/reward-temperature.ts'
import type { Lane } from '../models/lane.ts'
import { type Latent, tokenLists } from '../sampling/latent.ts'
import { type DrawnLatents, drawLatents } from './draw-latents.ts'
import type { Query } from './method.ts'

export type Proposals = DrawnLatents & {
  /** log R^(1/T) of each, nats; −∞ for a reward of zero. */
  logTarget: number[]
  /** log R^(1/T) − log q. */
  logWeights: number[]
}

/** Draws `count` latents from the query's sampler and weighs them. @throws UserError where a reward is no number */
export async function drawProposals(lane: Lane, query: Query, count: number): Promise<Proposals> {
  const { latents, logQ } = await drawLatents(lane, { ...query, samples: count })
  const logTarget = await logTargets(lane, query, latents)
  return { latents, logQ, logTarget, logWeights: logTarget.map((value, i) => value - logQ[i]) }
}

/** log R(Z ⊤)^(1/T) of whole latents, nats. @throws UserError (exit code 1) where one is NaN or +∞ */
export async function logTargets(
  lane: Lane,
  { sampler: { model, support }, tokenizer, prompt, reward, rewardTemperature }: Query,
  latents: readonly Latent[],
): Promise<number[]> {
  const lists = tokenLists(latents)
  const context = { lane, model, tokenizer, support, prompt, inserted: lists.inserted, onlyWhole: true }
  const scored = await reward.score(context, lists.latents)
  const logTarget = temperedRewards(scored, rewardTemperature)
  return scored.logReward.map((row, n) => {
    const value = row[row.length - 1]
    if (!(value < Infinity))
      throw new UserError(
        { what: `log R of latent ${n + 1} is ${value}`, where: `reward "${reward.name}"`, fix: 'mend the reward' },
        1,
      )
    return logTarget[n][row.length - 1]
  })
}
