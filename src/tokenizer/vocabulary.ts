/** @file Sets of tokens: which ones a latent may use, and which one ends it. */
import { UserError } from '../errors.ts'
import type { Tokenizer } from './tokenizer.ts'

/** Tokens that may be sampled: those allowed (all, if not given) less those forbidden. */
export type TokenSet = { allowed?: readonly number[]; forbidden?: readonly number[] }

/**
 * What is added to logits so that only some tokens can be sampled: 0 for them, −∞ for the others.
 * @returns [vocabulary]
 * @throws UserError for an id outside of the vocabulary, and where no token is left
 */
export function tokenBias(vocabularySize: number, { allowed, forbidden = [] }: TokenSet): Float32Array {
  for (const [set, ids] of Object.entries({ allowed: allowed ?? [], forbidden })) {
    const stranger = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabularySize)
    if (stranger !== undefined) {
      const fix = `ids go from 0 to ${(vocabularySize - 1).toLocaleString('en')}`
      throw new UserError({ what: `${stranger} is not a token of this model`, where: `${set} tokens`, fix })
    }
  }
  const bias = new Float32Array(vocabularySize).fill(allowed ? Number.NEGATIVE_INFINITY : 0)
  for (const id of allowed ?? []) bias[id] = 0
  for (const id of forbidden) bias[id] = Number.NEGATIVE_INFINITY
  if (bias.includes(0)) return bias
  throw new UserError({
    what: 'no token is left to sample',
    where: 'allowed and forbidden tokens',
    fix: allowed?.length ? 'forbid fewer of the allowed tokens' : 'allow at least one token',
  })
}

/**
 * The tokens that are meant by ids and texts. A text means every token that stands for just this text: "dog" is not " dog".
 * @throws UserError for a text that no token stands for
 */
export function tokensNamed(tokenizer: Tokenizer, names: readonly (number | string)[], where: string): number[] {
  if (names.every((name) => typeof name === 'number')) return [...names]
  const texts = Array.from({ length: tokenizer.vocabularySize }, (_, token) => tokenizer.textOf(token))
  return names.flatMap((name) => {
    if (typeof name === 'number') return name
    const tokens = texts.flatMap((text, token) => (text === name ? token : []))
    if (tokens.length > 0) return tokens
    throw new UserError({
      what: `no token of the model stands for ${JSON.stringify(name)}`,
      where,
      fix: 'words begin with their space, as in " dog"; a text of several tokens cannot be named here',
    })
  })
}

/** The tokens whose text is made of some characters and nothing else. */
export function tokensOfCharacters(tokenizer: Tokenizer, characters: string): number[] {
  const allowed = new Set(characters)
  return Array.from({ length: tokenizer.vocabularySize }, (_, token) => token).filter((token) => {
    const text = [...tokenizer.textOf(token)]
    return text.length > 0 && !tokenizer.specialTokens.has(token) && text.every((character) => allowed.has(character))
  })
}

/**
 * The token ⊤ that ends a latent: that of a text as it appears after a word ('.', '\n'), or a special token ('</s>').
 * @throws UserError where the text takes no or several tokens
 */
export function stopToken(tokenizer: Tokenizer, text: string): number {
  const tokens = tokenizer.encodeContinuation(text, { allowSpecial: true })
  if (tokens.length === 1) return tokens[0]
  const pieces = tokens.map((token) => JSON.stringify(tokenizer.textOf(token))).join(', ')
  throw new UserError({
    what: tokens.length ? `it takes ${tokens.length} tokens: ${pieces}` : 'it takes no token',
    where: `stop ${JSON.stringify(text)}`,
    fix: 'choose a text of one token, such as "."',
  })
}
