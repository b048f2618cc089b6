import { existsSync } from 'node:fs'
import { describe, expect, it, test } from 'vitest'
import { fromRoot } from '../../test/from-root.ts'
import { loadTokenizer } from './tokenizer.ts'
import { stopToken, tokenBias, tokensOfCharacters } from './vocabulary.ts'

describe('tokenBias', () => {
  const no = Number.NEGATIVE_INFINITY

  it('is 0 for tokens that may be sampled and −∞ for the others', () => {
    expect([...tokenBias(4, { allowed: [1, 3] })]).toEqual([no, 0, no, 0])
    expect([...tokenBias(4, { forbidden: [0, 2] })]).toEqual([no, 0, no, 0])
    expect([...tokenBias(4, { allowed: [0, 1, 3], forbidden: [0] })]).toEqual([no, 0, no, 0])
    expect([...tokenBias(2, {})]).toEqual([0, 0])
  })

  it.each([-1, 4, 1.5, Number.NaN])('refuses %d as a token of four', (id) => {
    expect(() => tokenBias(4, { allowed: [0, id] })).toThrow(/allowed tokens: .* is not a token .* from 0 to 3/)
    expect(() => tokenBias(4, { forbidden: [id] })).toThrow(/forbidden tokens/)
  })

  it('refuses to leave no token', () => {
    expect(() => tokenBias(2, { allowed: [] })).toThrow(/no token is left to sample; allow at least one/)
    expect(() => tokenBias(2, { forbidden: [0, 1] })).toThrow(/no token is left/)
    expect(() => tokenBias(2, { allowed: [1], forbidden: [1] })).toThrow(/forbid fewer/)
  })
})

/** Real tokenizers of ../shared/data and ../shared/models, which a fresh clone does not have. */
const absent = !existsSync(fromRoot('../shared/data/tokenizers'))

describe.skipIf(absent)(`stopToken${absent ? ': skipped, there is no ../shared/data/tokenizers' : ''}`, () => {
  it.each([
    ['models/stories260K', 426, '</s>', 2],
    ['../shared/data/tokenizers/llama2', 28723, '</s>', 2],
    ['../shared/data/tokenizers/gpt2', 13, '<|endoftext|>', 50256],
    ['../shared/data/tokenizers/smollm2', 30, '<|endoftext|>', 0],
  ])('of %s is the full stop after a word, or a special token', async (folder, fullStop, special, id) => {
    const tokenizer = await loadTokenizer(fromRoot(folder))
    expect(stopToken(tokenizer, '.')).toBe(fullStop)
    expect(tokenizer.encode('It is the end.').at(-1)).toBe(fullStop)
    expect(stopToken(tokenizer, special)).toBe(id)
    expect(() => stopToken(tokenizer, 'the very end')).toThrow(/stop "the very end": it takes \d+ tokens: "t/)
    expect(() => stopToken(tokenizer, '')).toThrow(/it takes no token/)
  })
})

test('tokens of some characters are all that are made of these alone, however they are spelled', async () => {
  const tokenizer = await loadTokenizer(fromRoot('models/stories260K'))
  const texts = tokensOfCharacters(tokenizer, '0123456789 ').map((token) => tokenizer.textOf(token))
  expect([...new Set(texts)].sort()).toEqual([' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
  expect(texts.filter((text) => text === '3')).toHaveLength(2) // a piece and a byte
  expect(tokensOfCharacters(tokenizer, '§')).toEqual([])
})
