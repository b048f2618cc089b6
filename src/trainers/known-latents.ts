/** @file Latents that the data knows to be good: they are scored and put into the replay buffer before the first step. */
import { insert, type ReplayBuffer } from '../gflownet/replay-buffer.ts'
import { untemperedTerms } from '../gflownet/reward-temperature.ts'
import type { Trajectory } from '../gflownet/trajectory.ts'
import type { LanguageModel } from '../models/language-model.ts'
import { emptyLatent, type Latent, recordOf, tokenLists } from '../sampling/latent.ts'
import type { Support } from '../sampling/support.ts'
import type { BoundTool } from '../sampling/tools.ts'
import { type GrowthLimits, withAction } from '../sampling/with-action.ts'
import { checkedRewards } from './checked-rewards.ts'
import type { Warning } from './events.ts'
import type { Prompt } from './prompts.ts'

/** The buffer with the known latents of all prompts, and a warning where some of them are none that could be sampled. */
export async function seedBuffer(
  empty: ReplayBuffer,
  prompts: readonly Prompt[],
  { model, support, tool }: { model: LanguageModel; support: Support; tool?: BoundTool },
): Promise<{ buffer: ReplayBuffer; warning?: Warning }> {
  const { description, tokenizer, lanes } = model
  const known: { prompt: Prompt; latents: Latent[] }[] = []
  for (const prompt of prompts) {
    const latents: Latent[] = []
    const room = description.dimensions.contextLength - prompt.tokens.length
    for (const tokens of prompt.known) {
      const latent = await asDrawn(withoutStop(tokens, support), { support, tool, room })
      if (latent && isPossible(latent, support)) latents.push(latent)
    }
    if (latents.length > 0) known.push({ prompt, latents })
  }
  const scored = await lanes.each(known, async (lane, { prompt, latents }) => {
    const { latents: tokens, inserted } = tokenLists(latents)
    const context = { lane, model: description, tokenizer, support, prompt: prompt.tokens, inserted }
    const rewards = checkedRewards(await prompt.reward.score(context, tokens), tokens, context, prompt)
    const untempered = untemperedTerms(rewards)
    return latents.map(
      (latent, n): Trajectory => ({
        ...recordOf(latent),
        logReward: rewards.logReward[n],
        ...(untempered && { untempered: untempered[n] }),
        source: 'data',
      }),
    )
  })
  const buffer = scored.reduce((buffer, trajectories, i) => insert(buffer, known[i].prompt.name, trajectories), empty)
  const given = prompts.reduce((sum, { known }) => sum + known.length, 0)
  const lost = given - known.reduce((sum, { latents }) => sum + latents.length, 0)
  if (lost === 0) return { buffer }
  const warning = {
    what: `${lost} of ${given} known latents are none that could be sampled, and were left out`,
    fix: `see the limits in latent: stop, minTokens, maxTokens and the tokens that are allowed${tool ? ', and what the tool writes' : ''}`,
  }
  return { buffer, warning }
}

/** A text may end with ⊤, as sentences do, or without it. */
const withoutStop = (tokens: readonly number[], { stop }: Support) =>
  tokens.at(-1) === stop ? tokens.slice(0, -1) : tokens

/** The latent as the sampler would draw it, with the places of what the tool writes; undefined where the tool writes otherwise. */
async function asDrawn(tokens: readonly number[], limits: GrowthLimits): Promise<Latent | undefined> {
  let latent = emptyLatent
  while (latent.tokens.length < tokens.length) {
    latent = await withAction(latent, tokens[latent.tokens.length], limits)
    if (latent.tokens.some((token, i) => token !== tokens[i])) return undefined
  }
  return latent
}

function isPossible({ tokens, inserted }: Latent, { stop, minTokens, maxTokens, bias }: Support): boolean {
  const given = new Set(inserted)
  const actions = tokens.filter((_, place) => !given.has(place))
  return (
    actions.length >= minTokens &&
    actions.length <= maxTokens &&
    actions.every((token) => token !== stop && (!bias || bias[token] === 0))
  )
}
