/** @file A reward that is one function of the text: the user's own. */
import { describeThrown, UserError } from '../errors.ts'
import { scorePrefixes } from './prefix-scores.ts'
import { askedPrefixes, type Reward, sumParts } from './reward.ts'

/** What a reward function is told besides the text. */
export type RewardInput = {
  /** log p(text ⊤ | prompt) under the model without its adapter, nats: add to it what else the text must be. */
  logLikelihood: number
  /** The row of the data. */
  example: Readonly<Record<string, string>>
  tokens: readonly number[]
}

/** log R of a text, nats, without the ⊤ that ends it. It is asked for every prefix at which the latent may end. */
export type RewardFunction = (text: string, input: RewardInput) => number | Promise<number>

/** The reward that a function says. @throws UserError (exit code 1) naming the text for which it fails or gives no number */
export function ownReward(name: string, logReward: RewardFunction, example: RewardInput['example'] = {}): Reward {
  return {
    name,
    score: async (context, latents) => {
      const { latent: likelihoods } = await scorePrefixes(context, context.prompt, latents, [])
      const asked = askedPrefixes(context, latents)
      const own = latents.map(({ length }) => new Array<number>(length + 1).fill(Number.NEGATIVE_INFINITY))
      for (const [n, latent] of latents.entries()) {
        for (const prefix of asked[n]) {
          const tokens = latent.slice(0, prefix)
          const text = context.tokenizer.decodeContinuation(tokens)
          own[n][prefix] = await call(name, logReward, text, { logLikelihood: likelihoods[n][prefix], example, tokens })
        }
      }
      return sumParts(context, latents, { own })
    },
  }
}

async function call(name: string, logReward: RewardFunction, text: string, input: RewardInput): Promise<number> {
  const refuse = (what: string): never => {
    throw new UserError({ what, where: `reward "${name}" of ${JSON.stringify(text)}`, fix: 'mend the function' }, 1)
  }
  try {
    const value: unknown = await logReward(text, input)
    return typeof value === 'number' && Number.isFinite(value)
      ? value
      : refuse(
          `it gave ${typeof value === 'string' ? JSON.stringify(value) : String(value)}; it must be a finite number`,
        )
  } catch (error) {
    if (error instanceof UserError) throw error
    return refuse(describeThrown(error))
  }
}
