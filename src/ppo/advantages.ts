/** @file How much better an action was than expected: rewards of actions, and what they amount to. Pure numbers. */
import { mean, sum } from '../sums.ts'
import type { PpoConfig } from './config.ts'

/** One latent as it was sampled: what is known of each of its actions, and log R of the whole. */
export type SampledActions = {
  /** log-probabilities under the policy that sampled it and under the reference model, [actions] each. */
  logQ: readonly number[]
  logReference: readonly number[]
  /** What the value head expected before each action, nats, [actions]; absent without one. */
  values?: readonly number[]
  logReward: number
}

/** What the actions of one latent are to learn, [actions] each; `returns` is what the value head is taught. */
export type ActionTargets = { advantages: number[]; returns?: number[] }

/** log q − log p_ref of a latent: its estimate of KL(q ‖ reference), nats. */
export const divergenceOf = ({ logQ, logReference }: Pick<SampledActions, 'logQ' | 'logReference'>) =>
  sum(logQ.map((value, k) => value - logReference[k]))

/** −β (log q − log p_ref) for every action, and log R for the last: [actions]. */
export const actionRewards = ({ logQ, logReference, logReward }: SampledActions, klCoefficient: number): number[] =>
  logQ.map((value, k) => -klCoefficient * (value - logReference[k]) + (k === logQ.length - 1 ? logReward : 0))

/** Generalised advantage estimation (Schulman et al. 2016, equation 16); after the last action nothing is expected. */
export function generalisedAdvantages(
  rewards: readonly number[],
  values: readonly number[],
  { discount, lambda }: Pick<PpoConfig, 'discount' | 'lambda'>,
): number[] {
  const advantages = new Array<number>(rewards.length)
  let later = 0
  for (let k = rewards.length - 1; k >= 0; k--) {
    const surprise = rewards[k] + discount * (values[k + 1] ?? 0) - values[k]
    later = surprise + discount * lambda * later
    advantages[k] = later
  }
  return advantages
}

/**
 * What the actions of one prompt's latents are to learn. log R counts from its mean over them: a constant moves no optimum,
 * and the value head need not find out how large rewards are.
 */
export function actionTargets(
  samples: readonly SampledActions[],
  klCoefficient: number,
  { baseline, whiten, ...estimation }: Pick<PpoConfig, 'baseline' | 'whiten' | 'discount' | 'lambda'>,
): ActionTargets[] {
  const center = mean(samples.map(({ logReward }) => logReward))
  const rewards = samples.map((sample) =>
    actionRewards({ ...sample, logReward: sample.logReward - center }, klCoefficient),
  )
  if (baseline === 'group') {
    const totals = standardised(rewards.map(sum), whiten)
    return rewards.map((own, n) => ({ advantages: own.map(() => totals[n]) }))
  }
  const raw = rewards.map((own, n) => generalisedAdvantages(own, samples[n].values!, estimation))
  const returns = raw.map((own, n) => own.map((advantage, k) => advantage + samples[n].values![k]))
  if (!whiten) return raw.map((advantages, n) => ({ advantages, returns: returns[n] }))
  const white = standardised(raw.flat(), true)
  let next = 0
  return raw.map(({ length }, n) => {
    next += length
    return { advantages: white.slice(next - length, next), returns: returns[n] }
  })
}

/** Keeps a constant from becoming noise of unit size. */
const EPSILON = 1e-8

/** Values less their mean, over their standard deviation if `whiten`. */
function standardised(values: readonly number[], whiten: boolean): number[] {
  const center = mean(values)
  const deviations = values.map((value) => value - center)
  if (!whiten) return deviations
  const spread = Math.sqrt(mean(deviations.map((value) => value ** 2))) + EPSILON
  return deviations.map((value) => value / spread)
}
