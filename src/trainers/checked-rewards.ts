/** @file A reward's answer is checked before anything is learned from it. */
import { UserError } from '../errors.ts'
import { untemperedTerms } from '../gflownet/reward-temperature.ts'
import type { Trajectory } from '../gflownet/trajectory.ts'
import type { Lane } from '../models/lane.ts'
import { askedPrefixes, type PrefixRewards, type RewardContext } from '../rewards/reward.ts'
import { type Latent, recordOf, tokenLists } from '../sampling/latent.ts'
import { type Run, rewardContext } from './methods/method.ts'
import type { Prompt } from './prompts.ts'

export type AskedPrefixes = Pick<RewardContext, 'onlyWhole' | 'innerPrefixes'>

/** Latents of a prompt with their log-rewards under a run's reference model. @throws UserError as `checkedRewards` does */
export async function rewarded(
  lane: Lane,
  run: Pick<Run, 'model' | 'reference' | 'support' | 'config' | 'tool'>,
  prompt: Prompt,
  latents: readonly Latent[],
  asked: AskedPrefixes = {},
): Promise<Omit<Trajectory, 'source'>[]> {
  const { latents: tokens, inserted } = tokenLists(latents)
  const context = { ...rewardContext(lane, run, prompt.tokens), ...asked, ...(inserted && { inserted }) }
  const rewards = checkedRewards(await prompt.reward.score(context, tokens), tokens, context, prompt)
  const untempered = untemperedTerms(rewards)
  return latents.map((latent, n) => ({
    ...recordOf(latent),
    logReward: rewards.logReward[n],
    ...(untempered && { untempered: untempered[n] }),
  }))
}

/**
 * The rewards as they are, if each latent has a finite log-reward at every prefix where it may end.
 * @throws UserError (exit code 1) naming the prompt, the latent and the prefix
 */
export function checkedRewards(
  rewards: PrefixRewards,
  latents: readonly (readonly number[])[],
  context: RewardContext,
  { name, reward }: Prompt,
): PrefixRewards {
  const refuse = (what: string): never => {
    throw new UserError(
      { what, where: `reward "${reward.name}", prompt "${name}"`, fix: 'mend the reward and resume the run' },
      1,
    )
  }
  if (rewards.logReward.length !== latents.length)
    refuse(`it gave ${rewards.logReward.length} rows for ${latents.length} latents`)
  const asked = askedPrefixes(context, latents)
  for (const [n, latent] of latents.entries()) {
    const row = rewards.logReward[n]
    if (row.length !== latent.length + 1)
      refuse(`latent ${n + 1} has ${latent.length + 1} prefixes and got ${row.length} numbers`)
    const bad = asked[n].find((prefix) => !Number.isFinite(row[prefix]))
    if (bad === undefined) continue
    const text = JSON.stringify(context.tokenizer.decodeContinuation(latent.slice(0, bad)))
    refuse(`log R of latent ${n + 1} at prefix ${bad} is ${row[bad]}; it must be a finite number, also for ${text}`)
  }
  return rewards
}
