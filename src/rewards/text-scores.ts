/** @file Scores of texts: a function of the text of every prefix where a latent may end, asked once for each. */
import { UserError } from '../errors.ts'
import { keysOf } from './prefix-states.ts'
import { askedPrefixes, defineReward, type PrefixValues, type Reward, type RewardContext, sumParts } from './reward.ts'

/** A latent that ends here: its text without ⊤ (of a character that is cut at its end, what decoding makes), and its tokens. */
export type EndedText = { text: string; tokens: readonly number[] }

/** log-scores of texts, one each, in their order. */
export type ScoreTexts = (ended: readonly EndedText[], context: RewardContext) => Promise<ArrayLike<number>>

/** A reward of one part, called as the reward is, whose every value is a score of the text. */
export const textReward = (name: string, scoreTexts: ScoreTexts): Reward =>
  defineReward(name, async (context, latents) =>
    sumParts(context, latents, { [name]: await scorePrefixTexts(name, scoreTexts, context, latents) }),
  )

/** @throws UserError (exit code 1) naming the text whose score is no finite number */
async function scorePrefixTexts(
  name: string,
  scoreTexts: ScoreTexts,
  context: RewardContext,
  latents: readonly (readonly number[])[],
): Promise<PrefixValues> {
  const asked = askedPrefixes(context, latents)
  const keys = latents.map((latent) => keysOf(latent))
  const ended = new Map<string, EndedText>()
  for (const [n, prefixes] of asked.entries())
    for (const i of prefixes) {
      if (ended.has(keys[n][i])) continue
      const tokens = latents[n].slice(0, i)
      ended.set(keys[n][i], { tokens, text: context.tokenizer.decodeContinuation(tokens) })
    }
  const texts = [...ended.values()]
  const scores = await scoreTexts(texts, context)
  if (scores.length !== texts.length) throw new Error(`${name} gave ${scores.length} scores for ${texts.length} texts`)
  for (const [i, { text }] of texts.entries()) {
    if (typeof scores[i] === 'number' && Number.isFinite(scores[i])) continue
    const fix =
      scores[i] === Number.NEGATIVE_INFINITY
        ? 'the logarithm of nothing cannot be learned: give a large negative number, such as -50'
        : 'give the logarithm of a density, a finite number'
    const what = `its score of ${JSON.stringify(text)} is ${scores[i]}`
    throw new UserError({ what, where: `reward "${name}"`, fix }, 1)
  }
  const scoreOf = new Map([...ended.keys()].map((key, i) => [key, scores[i]]))
  return keys.map((row) => row.map((key) => scoreOf.get(key) ?? 0))
}
