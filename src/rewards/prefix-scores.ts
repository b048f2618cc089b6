/**
 * @file log p of latents, and of fixed endings after every one of their prefixes, under the reference model: one packed
 * pass over the prefix tree of all latents, so that what they share is computed once.
 */
import { UserError } from '../errors.ts'
import type { Tree } from '../models/prefix-tree.ts'
import { type Places, type Question, scoreTree } from '../models/score.ts'
import type { Inserted } from '../sampling/latent.ts'
import { innerBias, isTerminable } from '../sampling/support.ts'
import { type Asked, askedPrefixes, type PrefixValues, type RewardContext } from './reward.ts'

/** How likelihoods read a latent. */
export type Reading = {
  /**
   * Is ⊤ a part of the text, as a full stop is? A sign such as `<|endoftext|>` is none: it is left out, and what comes
   * next follows the latent directly. Default true.
   */
  stopInText?: boolean
  /**
   * Is a tool's token counted by its likelihood, as in the paper, or taken as given? Default true.
   */
  countInserted?: boolean
}

export type PrefixScores = {
  /** log p(z_1..z_i ⊤ | X). */
  latent: PrefixValues
  /** log p(Y | X z_1..z_i ⊤), zero where there is no ending. */
  ending: PrefixValues
}

type ScoringContext = Asked & Pick<RewardContext, 'lane' | 'model' | 'adapter'>

/** The X of a density. What other X begin with, too, such as demonstrations, may stand apart: it is read once for all of them. */
export type Before = readonly number[] | { shared: readonly number[]; own: readonly number[] }

/**
 * @param before the X of the density
 * @param ending the Y that follows ⊤; may be empty
 * @returns values at every prefix, nats; ⊤ and the ending are not scored where the reward is not asked for
 */
export async function scorePrefixes(
  context: ScoringContext,
  before: Before,
  latents: readonly (readonly number[])[],
  ending: readonly number[],
  reading: Reading = {},
): Promise<PrefixScores> {
  const { latent, endings } = await scoreEndings(context, before, latents, [ending], reading)
  return { latent, ending: endings[0] }
}

/** The same for several endings, each on its own. @throws UserError where the context is too short for them */
export async function scoreEndings(
  context: ScoringContext,
  before: Before,
  latents: readonly (readonly number[])[],
  endings: readonly (readonly number[])[],
  { stopInText = true, countInserted = true }: Reading = {},
): Promise<{ latent: PrefixValues; endings: PrefixValues[] }> {
  const { lane, model, adapter, support, inserted } = context
  const { shared, own } = 'shared' in before ? before : { shared: before, own: [] }
  requireRoom(context, shared.length + own.length, latents, endings)
  if (latents.length === 0) return { latent: [], endings: endings.map(() => []) }

  // Latents repeat, and what they share is asked once: each distinct prefix has one place in the answers.
  const states = distinctPrefixes(latents, inserted)
  const idOf = new Map(states.map(({ id, key }) => [key, id]))
  const paths = latents.map((latent, n) => keysOf(latent, inserted?.[n]).map((key) => idOf.get(key)!))
  const asked = new Set(askedPrefixes(context, latents).flatMap((prefixes, n) => prefixes.map((i) => paths[n][i])))
  const terminable = states.filter(({ id }) => asked.has(id))
  const stop = stopInText ? [support.stop] : []
  const { start, reads, readOf } = sharedReads(endings, stop)
  const starts = start.length > 0 ? terminable.map((state) => [...textOf(state, latents), ...start]) : []
  const branches = terminable.flatMap(({ latent, prefix }, t) => {
    const after = starts.length > 0 ? { latent: latents.length + t, prefix: prefix + start.length } : { latent, prefix }
    return reads.map((tokens) => ({ ...after, tokens }))
  })

  const limits = support.renormaliseReward
    ? { stop: support.stop, bias: innerBias(support, model.dimensions.vocabulary) }
    : undefined
  // What a tool inserted is no choice within the limits; its likelihood is that of the whole vocabulary.
  const within = (actions: number) => limits && { mayStop: isTerminable(support, actions) }
  const ask = ({ latentToken: ofTree, branchToken }: Places) => {
    const latentToken = (latent: number, i: number) => ofTree(latent, own.length + i)
    const steps: Question[] = states.slice(1).map(({ latent, prefix, actions, isInserted }) => ({
      after: latentToken(latent, prefix - 2),
      token: latents[latent][prefix - 1],
      ...(!isInserted && within(actions - 1)),
    }))
    const stops: Question[] = terminable.flatMap(({ latent, prefix, actions }) =>
      stop.map((token) => ({ after: latentToken(latent, prefix - 1), token, ...within(actions) })),
    )
    const afterwards: Question[] = terminable.flatMap(({ latent, prefix }, t) =>
      endings.flatMap((ending, e) =>
        ending.map((token, i) => {
          const place = stop.length + i - 1
          const after =
            place < 0
              ? latentToken(latent, prefix - 1)
              : place < start.length
                ? latentToken(latents.length + t, prefix + place)
                : branchToken(t * reads.length + readOf[e], place - start.length)
          return { after, token }
        }),
      ),
    )
    return [...steps, ...stops, ...afterwards]
  }
  const answers = await scoreTree(
    lane,
    { model, adapter },
    treeAfter(shared, own, { latents: [...latents, ...starts], branches }),
    ask,
    limits,
  )

  let from = states.length - 1
  const take = (count: number) => {
    from += count
    return answers.subarray(from - count, from).reduce((sum, value) => sum + value, 0)
  }
  const stopOf = new Map(terminable.map(({ id }) => [id, take(stop.length)]))
  const endingsOf = new Map(terminable.map(({ id }) => [id, endings.map(({ length }) => take(length))]))
  return {
    latent: paths.map((path, n) => {
      const given = new Set(countInserted ? [] : inserted?.[n])
      let sum = 0
      return path.map((id, i) => {
        if (id > 0 && !given.has(i - 1)) sum += answers[id - 1]
        return sum + (stopOf.get(id) ?? 0)
      })
    }),
    endings: endings.map((_, e) => paths.map((path) => path.map((id) => endingsOf.get(id)?.[e] ?? 0))),
  }
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

/** The longest text must fit; without latents, the longest that there may be. */
function requireRoom(
  { model, support }: ScoringContext,
  before: number,
  latents: readonly (readonly number[])[],
  endings: readonly (readonly number[])[],
) {
  const { contextLength } = model.dimensions
  const longest = (texts: readonly (readonly number[])[]) =>
    texts.reduce((most, { length }) => Math.max(most, length), 0)
  const latent = latents.length > 0 ? longest(latents) : support.maxTokens
  const ending = longest(endings)
  if (before + latent + 1 + ending <= contextLength) return
  throw new UserError({
    what: `its text takes ${before} + ${latent + 1} + ${ending} tokens (what is before the latent, latent, ending), and the model reads ${contextLength}`,
    where: 'reward',
    fix: 'give fewer demonstrations, shorten the texts, or lower latent.maxTokens',
  })
}

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

const textOf = ({ latent, prefix }: PrefixState, latents: readonly (readonly number[])[]) =>
  latents[latent].slice(0, prefix)

/** `actions`: how many of the prefix's tokens the policy chose; `isInserted`: is the last one a tool's? */
type PrefixState = { id: number; key: string; latent: number; prefix: number; actions: number; isInserted: boolean }

/** The distinct prefixes of all latents, the empty one first, with the first latent that has each. */
function distinctPrefixes(
  latents: readonly (readonly number[])[],
  inserted: readonly Inserted[] | undefined,
): PrefixState[] {
  const states = new Map<string, PrefixState>()
  for (const [latent, tokens] of latents.entries()) {
    const given = new Set(inserted?.[latent])
    let actions = 0
    for (const [prefix, key] of keysOf(tokens, inserted?.[latent]).entries()) {
      const isInserted = given.has(prefix - 1)
      if (prefix > 0 && !isInserted) actions++
      if (!states.has(key)) states.set(key, { id: states.size, key, latent, prefix, actions, isInserted })
    }
  }
  return [...states.values()]
}

/** A name for every prefix of a latent, the empty one first; tokens that a tool inserted are told from the same ones chosen. */
export function keysOf(tokens: readonly number[], inserted: Inserted = []): string[] {
  const given = new Set(inserted)
  const keys = ['']
  for (const [i, token] of tokens.entries()) keys.push(`${keys[i]} ${token}${given.has(i) ? '+' : ''}`)
  return keys
}
