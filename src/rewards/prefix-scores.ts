/**
 * @file log p of latents, and of fixed endings after every one of their prefixes, under the reference model. What latents share is
 * computed once.
 */
import { UserError } from '../errors.ts'
import { distinctPrefixes, keysOf } from './prefix-states.ts'
import { type Asked, askedPrefixes, type PrefixValues, type RewardContext } from './reward.ts'
import { scoreStates } from './score-states.ts'

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
  const { inserted } = context
  const { shared, own } = 'shared' in before ? before : { shared: before, own: [] }
  requireRoom(context, shared.length + own.length, latents, endings)
  if (latents.length === 0) return { latent: [], endings: endings.map(() => []) }

  // Latents repeat, and what they share is asked once: each distinct prefix has one place in the answers.
  const states = distinctPrefixes(latents, inserted)
  const idOf = new Map(states.map(({ id, key }) => [key, id]))
  const paths = latents.map((latent, n) => keysOf(latent, inserted?.[n]).map((key) => idOf.get(key)!))
  const asked = new Set(askedPrefixes(context, latents).flatMap((prefixes, n) => prefixes.map((i) => paths[n][i])))
  const texts = { shared, own, latents, endings, stop: stopInText ? [context.support.stop] : [] }
  const scores = await scoreStates(context, texts, states, asked)
  return {
    latent: paths.map((path, n) => {
      const given = new Set(countInserted ? [] : inserted?.[n])
      let sum = 0
      return path.map((id, i) => {
        if (!given.has(i - 1)) sum += scores[id].token
        return sum + scores[id].stop
      })
    }),
    endings: endings.map((_, e) => paths.map((path) => path.map((id) => scores[id].endings[e]))),
  }
}

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
