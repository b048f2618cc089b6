/** @file How likely a given text is. */
import type { LoraAdapter } from '../adapters/lora.ts'
import { UserError } from '../errors.ts'
import { describeContext, type ModelDescription } from './architecture.ts'
import type { Lane } from './lane.ts'
import { scoreTree } from './score.ts'

/**
 * log p(token i | those before) of every token but the first, nats: [tokens − 1].
 * @throws UserError for tokens that the vocabulary or the context does not hold
 */
export async function scoreText(
  lane: Lane,
  { model, adapter }: { model: ModelDescription; adapter?: LoraAdapter },
  tokens: readonly number[],
): Promise<number[]> {
  const { vocabulary, contextLength } = model.dimensions
  const refuse = (what: string, fix: string): never => {
    throw new UserError({ what, where: 'text to score', fix })
  }
  if (tokens.length === 0) refuse('it has no tokens', 'give at least one')
  if (tokens.length > contextLength)
    refuse(`it has ${tokens.length} tokens, and the model reads ${describeContext(model)}`, 'shorten it')
  const stray = tokens.find((token) => token >= vocabulary)
  if (stray !== undefined) refuse(`token ${stray} is not in the vocabulary`, `use 0 to ${vocabulary - 1}`)
  if (tokens.length === 1) return []
  const questions = tokens.slice(1).map((token, i) => ({ after: i, token })) // a prompt is packed as it stands
  return [...(await scoreTree(lane, { model, adapter }, { prompt: tokens, latents: [] }, () => questions))]
}
