/** @file Latents that the data knows to be good: they are scored and put into the replay buffer before the first step. */
import { insert, type ReplayBuffer } from '../gflownet/replay-buffer.ts'
import type { Trajectory } from '../gflownet/trajectory.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { Support } from '../sampling/support.ts'
import { checkedRewards } from './checked-rewards.ts'
import type { Warning } from './events.ts'
import type { Prompt } from './prompts.ts'

/** The buffer with the known latents of all prompts, and a warning where some of them are none that could be sampled. */
export async function seedBuffer(
  empty: ReplayBuffer,
  prompts: readonly Prompt[],
  { model, support }: { model: LanguageModel; support: Support },
): Promise<{ buffer: ReplayBuffer; warning?: Warning }> {
  const { description, tokenizer, lanes } = model
  const known = prompts.flatMap((prompt) => {
    const latents = prompt.known
      .map((tokens) => withoutStop(tokens, support))
      .filter((tokens) => isPossible(tokens, support))
    return latents.length > 0 ? [{ prompt, latents }] : []
  })
  const scored = await lanes.each(known, async (lane, { prompt, latents }) => {
    const context = { lane, model: description, tokenizer, support, prompt: prompt.tokens }
    const { logReward } = checkedRewards(await prompt.reward.score(context, latents), latents, support, prompt)
    return latents.map((tokens, n): Trajectory => ({ tokens, logReward: logReward[n], source: 'data' }))
  })
  const buffer = scored.reduce((buffer, trajectories, i) => insert(buffer, known[i].prompt.name, trajectories), empty)
  const given = prompts.reduce((sum, { known }) => sum + known.length, 0)
  const lost = given - known.reduce((sum, { latents }) => sum + latents.length, 0)
  if (lost === 0) return { buffer }
  const warning = {
    what: `${lost} of ${given} known latents are none that could be sampled, and were left out`,
    fix: 'see the limits in latent: stop, minTokens, maxTokens and the tokens that are allowed',
  }
  return { buffer, warning }
}

/** A text may end with ⊤, as sentences do, or without it. */
const withoutStop = (tokens: readonly number[], { stop }: Support) =>
  tokens.at(-1) === stop ? tokens.slice(0, -1) : tokens

const isPossible = (tokens: readonly number[], { stop, minTokens, maxTokens, bias }: Support) =>
  tokens.length >= minTokens &&
  tokens.length <= maxTokens &&
  tokens.every((token) => token !== stop && (!bias || bias[token] === 0))
