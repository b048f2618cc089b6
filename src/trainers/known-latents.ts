/** @file Latents that the data knows to be good: they are scored and put into the replay buffer before the first step. */
import { insert, type ReplayBuffer } from '../gflownet/replay-buffer.ts'
import type { Trajectory } from '../gflownet/trajectory.ts'
import { emptyLatent, type Latent } from '../sampling/latent.ts'
import type { Support } from '../sampling/support.ts'
import { type GrowthLimits, withAction } from '../sampling/with-action.ts'
import { rewarded } from './checked-rewards.ts'
import type { Warning } from './events.ts'
import type { Run } from './methods/method.ts'
import type { Prompt } from './prompts.ts'

/** The buffer with the known latents of all prompts, and a warning where some of them are none that could be sampled. */
export async function seedBuffer(
  empty: ReplayBuffer,
  prompts: readonly Prompt[],
  run: Pick<Run, 'model' | 'reference' | 'support' | 'config' | 'tool'>,
): Promise<{ buffer: ReplayBuffer; warning?: Warning }> {
  const { known, warning } = await knownLatents(prompts, run)
  const scored = await run.model.lanes.each(known, (lane, { prompt, latents }) => rewarded(lane, run, prompt, latents))
  const buffer = scored.reduce(
    (buffer, latents, i) =>
      insert(
        buffer,
        known[i].prompt.name,
        latents.map((latent): Trajectory => ({ ...latent, source: 'data' })),
      ),
    empty,
  )
  return { buffer, warning }
}

type LatentLimits = Pick<Run, 'model' | 'support' | 'tool'>

/** The known latents that could be sampled, of the prompts that have some, and a warning where there are others. */
export async function knownLatents(
  prompts: readonly Prompt[],
  limits: LatentLimits,
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
    fix: `see the limits in latent: stop, minTokens, maxTokens and the tokens that are allowed${limits.tool ? ', and what the tool writes' : ''}`,
  }
  return { known, warning }
}

/** A prompt's known latents that could be sampled. */
export async function possibleLatents(
  { known, tokens: prompt }: Prompt,
  { model, support, tool }: LatentLimits,
): Promise<Latent[]> {
  const latents: Latent[] = []
  const room = model.description.dimensions.contextLength - prompt.length
  for (const tokens of known) {
    const latent = await asDrawn(withoutStop(tokens, support), { support, tool, room })
    if (latent && isPossible(latent, support)) latents.push(latent)
  }
  return latents
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
