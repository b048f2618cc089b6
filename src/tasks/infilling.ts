/**
 * @file Infilling (Hu et al. 2024, section 4.2): the sentence Z that leads from a beginning X to a given ending Y, drawn in
 * proportion to p(X Z Y).
 *
 * The policy must know the ending before it writes, so its prompt is the ending, then the token that begins a text, then
 * the beginning: Z follows X directly, as it does in the reward.
 */
import { UserError } from '../errors.ts'
import { posterior } from '../rewards/posterior.ts'
import { embeddedStories } from './embedded.ts'
import { infillingOutcome } from './infilling-outcome.ts'
import { following, type PromptModel, type Task, type TaskPrompt } from './task.ts'

export type Story = { beginning: string; ending: string }

export const infilling: Task = {
  name: 'infilling',
  summary: 'the sentence that leads from a beginning to a given ending',
  columns: { beginning: 'what comes before the sentence', ending: 'what comes after it' },
  optionalColumns: {
    known: 'a sentence between them, which begins in the replay buffer',
    middle: 'the true sentence between them, which only evaluation looks at',
  },
  examples: embeddedStories,
  prompt: ({ beginning, ending, known }, model) => ({
    ...infillingPrompt({ beginning, ending }, model),
    ...(known && { known: [following(known)] }),
  }),
  evaluate: infillingOutcome,
  chat: ({ beginning, ending }) => ({
    messages: [{ role: 'user', content: `Write a short story that ends like this: ${ending.trim()}` }],
    reply: beginning.trim(),
  }),
}

/** The prompt and the reward of one story. @throws UserError where the model has no token that begins a text */
export function infillingPrompt({ beginning, ending }: Story, { tokenizer, name }: PromptModel): TaskPrompt {
  const separator = tokenizer.bosToken ?? tokenizer.eosToken
  if (separator === undefined)
    throw new UserError({
      what: `${name} has no token that begins or ends a text`,
      where: 'tokenizer_config.json',
      fix: 'use another model',
    })
  const start = [separator, ...tokenizer.encode(beginning.trim())]
  const end = tokenizer.encodeContinuation(` ${ending.trim()}`)
  return {
    name: `${beginning.trim()} ... ${ending.trim()}`,
    prompt: [...end, ...start],
    reward: posterior({ beginning: start, ending: end }),
  }
}
