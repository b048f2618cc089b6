/** @file The few-shot posterior: the posterior reward of a model that has been shown how it is done. */
import { UserError } from '../errors.ts'
import { posteriorAfter } from './posterior.ts'
import type { Reading } from './prefix-scores.ts'
import { continuationOf, type Reward, type RewardContext, type Text } from './reward.ts'

/**
 * R(z_1..z_i ⊤) = p(z_1..z_i ⊤ Y | demonstrations X) under the reference model (Hu et al. 2024, section 4.4). The policy
 * reads its own prompt, without demonstrations. Parts as of the posterior.
 * @param demonstrations whole texts X Z Y, each followed by the separator
 * @param beginning X, where it is not the policy's prompt
 */
export function fewShotPosterior({
  demonstrations,
  separator = '\n',
  beginning,
  ...options
}: { demonstrations: readonly string[]; separator?: string; beginning?: Text; ending: Text } & Reading): Reward {
  if (demonstrations.length === 0)
    throw new UserError({
      what: 'the few-shot posterior has no demonstrations',
      where: 'reward',
      fix: 'give some, or use "posterior"',
    })
  const text = demonstrations.map((demonstration) => demonstration + separator).join('')
  const before = ({ prompt, tokenizer }: RewardContext) => ({
    shared: tokenizer.encode(text, { addSpecialTokens: true }), // no latent follows it: its last spaces are its own
    own: beginning === undefined ? withoutStart(prompt, tokenizer.bosToken) : continuationOf(beginning, tokenizer),
  })
  return posteriorAfter('few-shot posterior', before, options)
}

/** A prompt within a document does not begin one. */
const withoutStart = (prompt: readonly number[], bosToken?: number) =>
  bosToken !== undefined && prompt[0] === bosToken ? prompt.slice(1) : prompt
