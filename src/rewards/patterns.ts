/** @file The constraint of regular expressions that a text must or must not match. */
import { UserError } from '../errors.ts'
import type { Reward } from './reward.ts'
import { textReward } from './text-scores.ts'

export type PatternOptions = {
  required?: readonly RegExp[]
  forbidden?: readonly RegExp[]
  /** What each required pattern that is missing and each forbidden one that is there takes off log c(Z), nats; default 10. */
  penalty?: number
}

const DEFAULT_PENALTY = 10 // leaves 5 in 100,000 of a text's mass, and can still be learned from

/**
 * c(Z) = exp(−penalty · broken rules), by the text as it would end. The penalty is finite, since the logarithm of zero
 * teaches nothing: with one that is small beside the model's own preferences, latents that break a rule remain. Part: the name.
 */
export function patterns(
  { required = [], forbidden = [], penalty = DEFAULT_PENALTY }: PatternOptions,
  name = 'patterns',
): Reward {
  const refuse = (what: string, fix: string) => new UserError({ what, where: `reward "${name}"`, fix })
  if (required.length + forbidden.length === 0) throw refuse('it has no rule', 'require or forbid something')
  if (!(penalty > 0 && Number.isFinite(penalty))) throw refuse(`penalty ${penalty}`, 'give a finite number above 0')
  const [must, mustNot] = [required, forbidden].map((all) => all.map(withoutMemory))
  return textReward(name, async (ended) =>
    ended.map(({ text }) => {
      const broken =
        must.filter((pattern) => !pattern.test(text)).length + mustNot.filter((pattern) => pattern.test(text)).length
      return -penalty * broken
    }),
  )
}

/** A pattern that begins anew with every text: flags g and y make it go on where it last matched. */
const withoutMemory = ({ source, flags }: RegExp) => new RegExp(source, flags.replace(/[gy]/g, ''))
