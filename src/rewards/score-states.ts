/**
 * @file log p of what leads to some prefixes of latents and of what follows them, in packed passes over their prefix tree, a bounded number of
 * tokens at a time: what a layer makes of more would not stay in the processor's cache, and needs memory.
 */
import type { LoraAdapter } from '../adapters/lora.ts'
import type { ModelDescription } from '../models/architecture.ts'
import type { Lane } from '../models/lane.ts'
import type { Tree } from '../models/prefix-tree.ts'
import { type Places, type Question, scoreTree, TOKENS_AT_ONCE } from '../models/score.ts'
import { innerBias, isTerminable, type Support } from '../sampling/support.ts'
import type { PrefixState } from './prefix-states.ts'

export type Texts = {
  /** X: `own` follows `shared`, which other prompts begin with, too. */
  shared: readonly number[]
  own: readonly number[]
  latents: readonly (readonly number[])[]
  /** What follows a latent that ends, after `stop`. */
  endings: readonly (readonly number[])[]
  /** ⊤, where it is a part of the text. */
  stop: readonly number[]
}

/** What is known of a prefix, nats: log p of its last token, and where it is asked for, of ⊤ and of each ending after it. */
export type StateScore = { token: number; stop: number; endings: readonly number[] }

type Scorer = { lane: Lane; model: ModelDescription; adapter?: LoraAdapter; support: Support }

/**
 * @param states in the order of their numbers
 * @param asked the numbers of those that ⊤ and endings are scored after
 * @returns [states]
 */
export async function scoreStates(
  scorer: Scorer,
  texts: Texts,
  states: readonly PrefixState[],
  asked: ReadonlySet<number>,
): Promise<StateScore[]> {
  const following = sharedReads(texts.endings, texts.stop)
  const readAfter = following.start.length + following.reads.reduce((sum, { length }) => sum + length, 0)
  const parts: PrefixState[][] = [[]]
  let tokens = 0
  for (const state of states) {
    const cost = 1 + (asked.has(state.id) ? readAfter : 0)
    if (tokens > 0 && tokens + cost > TOKENS_AT_ONCE) {
      parts.push([])
      tokens = 0
    }
    parts[parts.length - 1].push(state)
    tokens += cost
  }
  const scores: StateScore[] = []
  for (const part of parts) scores.push(...(await scorePart(scorer, texts, following, part, asked)))
  return scores
}

/** The same in one pass, over the latents of these states alone, as far as they go. */
async function scorePart(
  { lane, model, adapter, support }: Scorer,
  { shared, own, latents, endings, stop }: Texts,
  { start, reads, readOf }: ReturnType<typeof sharedReads>,
  states: readonly PrefixState[],
  asked: ReadonlySet<number>,
): Promise<StateScore[]> {
  const reach = new Map<number, number>() // of each latent, the longest of its prefixes
  for (const { latent, prefix } of states) reach.set(latent, Math.max(reach.get(latent) ?? 0, prefix))
  const chains = [...reach].map(([latent, prefix]) => latents[latent].slice(0, prefix))
  const chainOf = new Map([...reach.keys()].map((latent, chain) => [latent, chain]))
  const placed = states.map((state) => ({ ...state, chain: chainOf.get(state.latent)! }))
  const terminable = placed.filter(({ id }) => asked.has(id))
  const starts =
    start.length > 0 ? terminable.map(({ chain, prefix }) => [...chains[chain].slice(0, prefix), ...start]) : []
  const branches = terminable.flatMap(({ chain, prefix }, t) => {
    const after =
      starts.length > 0 ? { latent: chains.length + t, prefix: prefix + start.length } : { latent: chain, prefix }
    return reads.map((tokens) => ({ ...after, tokens }))
  })

  const limits = support.renormaliseReward
    ? { stop: support.stop, bias: innerBias(support, model.dimensions.vocabulary) }
    : undefined
  // What a tool inserted is no choice within the limits; its likelihood is that of the whole vocabulary.
  const within = (actions: number) => limits && { mayStop: isTerminable(support, actions) }
  const steps = placed.filter(({ prefix }) => prefix > 0)
  const ask = ({ latentToken: ofTree, branchToken }: Places) => {
    const latentToken = (chain: number, i: number) => ofTree(chain, own.length + i)
    const ofTokens: Question[] = steps.map(({ chain, prefix, actions, isInserted }) => ({
      after: latentToken(chain, prefix - 2),
      token: chains[chain][prefix - 1],
      ...(!isInserted && within(actions - 1)),
    }))
    const ofStops: Question[] = terminable.flatMap(({ chain, prefix, actions }) =>
      stop.map((token) => ({ after: latentToken(chain, prefix - 1), token, ...within(actions) })),
    )
    const ofEndings: Question[] = terminable.flatMap(({ chain, prefix }, t) =>
      endings.flatMap((ending, e) =>
        ending.map((token, i) => {
          const place = stop.length + i - 1
          const after =
            place < 0
              ? latentToken(chain, prefix - 1)
              : place < start.length
                ? latentToken(chains.length + t, prefix + place)
                : branchToken(t * reads.length + readOf[e], place - start.length)
          return { after, token }
        }),
      ),
    )
    return [...ofTokens, ...ofStops, ...ofEndings]
  }
  const tree = treeAfter(shared, own, { latents: [...chains, ...starts], branches })
  const answers = await scoreTree(lane, { model, adapter }, tree, ask, limits)

  let from = 0
  const take = (count: number) => {
    from += count
    return answers.subarray(from - count, from).reduce((sum, value) => sum + value, 0)
  }
  const tokenOf = new Map(steps.map(({ id }) => [id, take(1)]))
  const stopOf = new Map(terminable.map(({ id }) => [id, take(stop.length)]))
  const endingsOf = new Map(terminable.map(({ id }) => [id, endings.map(({ length }) => take(length))]))
  const none = endings.map(() => 0)
  return states.map(({ id }) => ({
    token: tokenOf.get(id) ?? 0,
    stop: stopOf.get(id) ?? 0,
    endings: endingsOf.get(id) ?? none,
  }))
}

/** The tree over `shared`, in which all latents begin with `own`: its tokens are one chain that they share. */
const treeAfter = (
  prompt: readonly number[],
  own: readonly number[],
  { latents, branches }: Required<Pick<Tree, 'latents' | 'branches'>>,
): Tree => ({
  prompt,
  latents: latents.map((latent) => [...own, ...latent]),
  branches: branches.map(({ prefix, ...branch }) => ({ ...branch, prefix: own.length + prefix })),
})

/**
 * The tokens that endings are read along, for the last token of an ending is predicted and never read. What is the beginning of
 * another needs no copy of its own, and what all of several begin with, such as ", so it is", is read once: it is a continuation of
 * the latent like another latent's.
 * @returns `start`: what all begin with; `reads`: what each goes on with; `readOf` [endings]: which of them is whose
 */
function sharedReads(endings: readonly (readonly number[])[], stop: readonly number[]) {
  const own = endings.map((ending) => (ending.length > 0 ? [...stop, ...ending.slice(0, -1)] : []))
  const isStart = (a: readonly number[], b: readonly number[]) => a.every((token, i) => token === b[i])
  const whole = own.filter(
    (read, e) =>
      read.length > 0 &&
      !own.some((other, o) => o !== e && isStart(read, other) && (other.length > read.length || o < e)),
  )
  const alike = whole.length > 1 ? whole[0].findIndex((token, i) => whole.some((read) => read[i] !== token)) : 0
  return {
    start: whole.length > 1 ? whole[0].slice(0, alike) : [],
    reads: whole.map((read) => read.slice(alike)),
    readOf: own.map((read) =>
      Math.max(
        0,
        whole.findIndex((other) => isStart(read, other)),
      ),
    ),
  }
}
