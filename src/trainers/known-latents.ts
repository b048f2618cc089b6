/** @file Latents that the data knows to be good: they are scored and put into the replay buffer before the first step. */
import type { LoraAdapter } from '../adapters/lora.ts'
import { insert, type ReplayBuffer } from '../gflownet/replay-buffer.ts'
import { untemperedTerms } from '../gflownet/reward-temperature.ts'
import type { Trajectory } from '../gflownet/trajectory.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { Latent } from '../sampling/latent.ts'
import type { Support } from '../sampling/support.ts'
import type { BoundTool } from '../sampling/tools.ts'
import { checkedRewards } from './checked-rewards.ts'
import type { Warning } from './events.ts'
import type { Prompt } from './prompts.ts'

/** The buffer with the known latents of all prompts, and a warning where some of them are none that could be sampled. */
export async function seedBuffer(
  empty: ReplayBuffer,
  prompts: readonly Prompt[],
  {
    model,
    support,
    tool,
    reference,
  }: { model: LanguageModel; support: Support; tool?: BoundTool; reference?: LoraAdapter },
): Promise<{ buffer: ReplayBuffer; warning?: Warning }> {
  const { description, tokenizer, lanes } = model
  const { known, warning } = await knownLatents(prompts, { support, tool })
  const scored = await lanes.each(known, async (lane, { prompt, latents }) => {
    const tokens = latents.map((latent) => latent.tokens)
    const inserted = tool && { inserted: latents.map((latent) => latent.inserted) }
    const asked = { lane, model: description, tokenizer, support, prompt: prompt.tokens }
    const context = { ...asked, ...(reference && { adapter: reference }), ...inserted }
    const rewards = checkedRewards(await prompt.reward.score(context, tokens), tokens, context, prompt)
    const untempered = untemperedTerms(rewards)
    return latents.map(
      ({ tokens, inserted }, n): Trajectory => ({
        tokens,
        ...(inserted.length > 0 && { inserted }),
        logReward: rewards.logReward[n],
        ...(untempered && { untempered: untempered[n] }),
        source: 'data',
      }),
    )
  })
  const buffer = scored.reduce((buffer, trajectories, i) => insert(buffer, known[i].prompt.name, trajectories), empty)
  return { buffer, warning }
}

/** The known latents that could be sampled, of the prompts that have some, and a warning where there are others. */
export async function knownLatents(
  prompts: readonly Prompt[],
  limits: { support: Support; tool?: BoundTool },
): Promise<{ known: { prompt: Prompt; latents: Latent[] }[]; warning?: Warning }> {
  const known: { prompt: Prompt; latents: Latent[] }[] = []
  let [given, kept] = [0, 0]
  for (const prompt of prompts) {
    const latents = await possibleLatents(prompt, limits)
    given += prompt.known.length
    kept += latents.length
    if (latents.length > 0) known.push({ prompt, latents })
  }
  if (kept === given) return { known }
  const warning = {
    what: `${given - kept} of ${given} known latents are none that could be sampled, and were left out`,
    fix: 'see the limits in latent: stop, minTokens, maxTokens and the tokens that are allowed',
  }
  return { known, warning }
}

/** A prompt's known latents that could be sampled. */
export async function possibleLatents(
  { known }: Prompt,
  { support, tool }: { support: Support; tool?: BoundTool },
): Promise<Latent[]> {
  const latents: Latent[] = []
  for (const tokens of known) {
    const latent = await asDrawn(withoutStop(tokens, support), tool)
    if (latent && isPossible(latent, support)) latents.push(latent)
  }
  return latents
}

/** A text may end with ⊤, as sentences do, or without it. */
const withoutStop = (tokens: readonly number[], { stop }: Support) =>
  tokens.at(-1) === stop ? tokens.slice(0, -1) : tokens

/** The latent as the sampler would draw it, with the places of what the tool writes; undefined where the tool writes otherwise. */
async function asDrawn(tokens: readonly number[], tool?: BoundTool): Promise<Latent | undefined> {
  const inserted: number[] = []
  for (let next = 0; tool && next < tokens.length; ) {
    next++ // an action
    const result = await tool(tokens.slice(0, next))
    if (result.some((token, i) => token !== tokens[next + i])) return undefined
    for (const _ of result) inserted.push(next++)
  }
  return { tokens, inserted }
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
