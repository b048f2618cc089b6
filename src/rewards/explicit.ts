/** @file The explicit reward: a density that is given, as a table or as a function of the text. */
import { UserError } from '../errors.ts'
import type { Reward } from './reward.ts'
import { type EndedText, textReward } from './text-scores.ts'

/** log R of a latent by its text and its tokens, both without ⊤; nats, finite. */
export type LogDensity = (text: string, tokens: readonly number[]) => number | Promise<number>

/**
 * R(Z) as given, of no language model. Part: `explicit`, or the name.
 * @param density a function; or a table of log R by text, as it stands (with its space before the first word), with what
 * all other texts have
 */
export function explicit(
  density: LogDensity | { table: Readonly<Record<string, number>>; otherwise: number },
  name = 'explicit',
): Reward {
  const logDensity = typeof density === 'function' ? density : lookUp(density, name)
  return textReward(name, (ended) => Promise.all(ended.map((one) => called(logDensity, one, name))))
}

function lookUp(
  { table, otherwise }: { table: Readonly<Record<string, number>>; otherwise: number },
  name: string,
): LogDensity {
  const bad = [...Object.entries(table), ['otherwise', otherwise] as const].find(([, value]) => !Number.isFinite(value))
  if (bad)
    throw new UserError({
      what: `log R of ${JSON.stringify(bad[0])} is ${bad[1]}`,
      where: `reward "${name}"`,
      fix: 'give finite numbers: for what must not occur a large negative one, such as -50',
    })
  return (text) => (Object.hasOwn(table, text) ? table[text] : otherwise)
}

/** @throws UserError (exit code 1) with what the user's function threw */
async function called(logDensity: LogDensity, { text, tokens }: EndedText, name: string): Promise<number> {
  try {
    return await logDensity(text, tokens)
  } catch (error) {
    if (error instanceof UserError) throw error
    const what = `it threw "${error instanceof Error ? error.message : error}" for ${JSON.stringify(text)}`
    throw new UserError({ what, where: `reward "${name}"`, fix: 'mend the function' }, 1)
  }
}
