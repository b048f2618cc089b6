/**
 * @file log p of latents, and of a fixed ending after every one of their prefixes, under the reference model: one packed
 * pass over the prefix tree of all latents, so that what they share is computed once.
 */
import { type Places, type Question, scoreTree } from '../models/score.ts'
import { innerBias, isTerminable } from '../sampling/support.ts'
import { type Asked, isAsked, type PrefixValues, type RewardContext } from './reward.ts'

export type PrefixScores = {
  /** log p(z_1..z_i ⊤ | X). */
  latent: PrefixValues
  /** log p(Y | X z_1..z_i ⊤), zero where there is no ending. */
  ending: PrefixValues
}

/**
 * @param prompt the X of the density
 * @param ending the Y that follows ⊤; may be empty
 * @returns values at every prefix, nats; ⊤ and the ending are not scored where the reward is not asked for
 */
export async function scorePrefixes(
  { lane, model, support, onlyWhole }: Asked & Pick<RewardContext, 'lane' | 'model'>,
  prompt: readonly number[],
  latents: readonly (readonly number[])[],
  ending: readonly number[],
): Promise<PrefixScores> {
  // Latents repeat, and what they share is asked once: each distinct prefix has one place in the answers.
  const states = distinctPrefixes(latents)
  const idOf = new Map(states.map(({ id, key }) => [key, id]))
  const paths = latents.map((latent) => keysOf(latent).map((key) => idOf.get(key)!))
  const asked = new Set(
    paths.flatMap((path) => path.filter((_, i) => isAsked({ support, onlyWhole }, i, path.length - 1))),
  )
  const terminable = states.filter(({ id }) => asked.has(id))
  const after = [support.stop, ...ending.slice(0, -1)] // the ending's last token is predicted, never read
  const branches =
    ending.length > 0 ? terminable.map(({ latent, prefix }) => ({ latent, prefix, tokens: after })) : undefined

  const limits = support.renormaliseReward
    ? { stop: support.stop, bias: innerBias(support, model.dimensions.vocabulary) }
    : undefined
  const within = (prefix: number) => limits && { mayStop: isTerminable(support, prefix) }
  const ask = ({ latentToken, branchToken }: Places) => {
    const steps: Question[] = states.slice(1).map(({ latent, prefix }) => ({
      after: latentToken(latent, prefix - 2),
      token: latents[latent][prefix - 1],
      ...within(prefix - 1),
    }))
    const stops: Question[] = terminable.map(({ latent, prefix }) => ({
      after: latentToken(latent, prefix - 1),
      token: support.stop,
      ...within(prefix),
    }))
    const endings: Question[] = terminable.flatMap((_, b) =>
      ending.map((token, i) => ({ after: branchToken(b, i), token })),
    )
    return [...steps, ...stops, ...endings]
  }
  const answers = await scoreTree(lane, { model }, { prompt, latents, branches }, ask, limits)

  const stopsFrom = states.length - 1
  const endingsFrom = stopsFrom + terminable.length
  const stopOf = new Map(terminable.map(({ id }, k) => [id, answers[stopsFrom + k]]))
  const endingOf = new Map(
    terminable.map(({ id }, k) => {
      const start = endingsFrom + k * ending.length
      return [id, answers.subarray(start, start + ending.length).reduce((sum, value) => sum + value, 0)]
    }),
  )
  return {
    latent: paths.map((path) => {
      let sum = 0
      return path.map((id) => {
        if (id > 0) sum += answers[id - 1]
        return sum + (stopOf.get(id) ?? 0)
      })
    }),
    ending: paths.map((path) => path.map((id) => endingOf.get(id) ?? 0)),
  }
}

type PrefixState = { id: number; key: string; latent: number; prefix: number }

/** The distinct prefixes of all latents, the empty one first, with the first latent that has each. */
function distinctPrefixes(latents: readonly (readonly number[])[]): PrefixState[] {
  const states = new Map<string, PrefixState>()
  for (const [latent, tokens] of latents.entries())
    for (const [prefix, key] of keysOf(tokens).entries())
      if (!states.has(key)) states.set(key, { id: states.size, key, latent, prefix })
  return [...states.values()]
}

/** A name for every prefix of a latent, the empty one first. */
function keysOf(tokens: readonly number[]): string[] {
  const keys = ['']
  for (const token of tokens) keys.push(`${keys[keys.length - 1]} ${token}`)
  return keys
}
