/**
 * @file A latent as the actions that PPO learns from: the tokens that the policy chose, and ⊤ where it had a choice. What a tool
 * inserts is no action, nor is a ⊤ that the limits force.
 */
import { grid, type PolicyScore, type PromptLatents } from '../gflownet/policy.ts'
import { statesOf } from '../sampling/latent.ts'
import { isForced, type Support } from '../sampling/support.ts'

/** log-probabilities of a latent's actions, in their order: [actions]. */
export function actionsOf(
  { logTokens, logStop }: PolicyScore,
  support: Support,
  inserted?: readonly number[],
): number[] {
  const states = statesOf(logTokens.length, inserted)
  const tokens = states.slice(0, -1).map((place) => logTokens[place])
  return isForced(support, tokens.length) ? tokens : [...tokens, logStop[logTokens.length]]
}

/**
 * The grid [samples, states] on which actions are learned from: cell k of a latent is what was chosen after k actions.
 * `cells` fills one from what is known of each action; `actions` counts those of each latent.
 */
export function actionGrid({ latents, inserted }: PromptLatents, support: Support) {
  const tokens = latents.map(({ length }, n) => statesOf(length, inserted?.[n]).length - 1)
  const states = Math.max(1, ...tokens) + 1
  const actions = tokens.map((count) => (isForced(support, count) ? count : count + 1))
  const cells = <T>(of: (latent: number, action: number) => T, outside: T) =>
    grid(latents.length, states, (n, k) => (k < actions[n] ? of(n, k) : outside))
  const isStop = (latent: number, action: number) => action === tokens[latent]
  return { shape: [latents.length, states], actions, isStop, cells }
}
