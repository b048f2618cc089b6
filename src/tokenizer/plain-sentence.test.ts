import { existsSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { fromRoot } from '../../test/from-root.ts'
import { unfitForSentence } from './plain-sentence.ts'
import { loadTokenizer } from './tokenizer.ts'

const absent = !existsSync(fromRoot('../shared/data/tokenizers'))
const title = `unfitForSentence${absent ? ': skipped, there is no ../shared/data/tokenizers' : ''}`

/** Single tokens that Hu et al. forbid for GPT-2. */
const ILLEGAL = ['\n', '\n\n', '\t', '"', ' "', 'http', 'https', '://', 'www', 'Â', '?', '!', '!!', '...', '..', '**']
const MORE = [
  '--',
  '==',
  '__',
  '##',
  '@@',
  '%%',
  '&&',
  '~',
  '^',
  '|',
  '$$',
  'US',
  'Mr',
  'Mrs',
  'Ms',
  'Dr',
  'Prof',
  'Jr',
]
const CAPITALS = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ']

describe.skipIf(absent)(title, () => {
  it("has every token of the paper's list for GPT-2, and leaves ordinary words and the full stop", async () => {
    const tokenizer = await loadTokenizer(fromRoot('../shared/data/tokenizers/gpt2'))
    const unfit = new Set(unfitForSentence(tokenizer))
    const oneToken = (text: string) => {
      const tokens = tokenizer.encodeContinuation(text)
      expect([text, tokens.length]).toEqual([text, 1])
      return tokens[0]
    }
    for (const text of [...ILLEGAL, ...MORE, ...CAPITALS])
      expect([text, unfit.has(oneToken(text))]).toEqual([text, true])
    expect(unfit.has(tokenizer.eosToken!)).toBe(true)
    for (const text of ['.', ',', ' A', ' I', ' the', ' Tom', "'s", ' 1999', ' U'])
      expect([text, unfit.has(oneToken(text))]).toEqual([text, false])
    expect(unfit.size).toBeLessThan(0.05 * tokenizer.vocabularySize)
  })

  it.each(['../shared/data/tokenizers/llama2', '../shared/data/tokenizers/smollm2', '../shared/models/stories260K'])(
    'of %s leaves tokens for a whole sentence',
    async (folder) => {
      const tokenizer = await loadTokenizer(fromRoot(folder))
      const unfit = new Set(unfitForSentence(tokenizer))
      const tokens = tokenizer.encodeContinuation(" Lily's mom and Tom went to the park, and she saw a big dog.")
      expect(tokens.filter((token) => unfit.has(token)).map(tokenizer.textOf)).toEqual([])
      const markup = tokenizer.encodeContinuation('"Hi!"\n')
      expect(markup.filter((token) => unfit.has(token)).length).toBeGreaterThanOrEqual(2)
      for (const token of tokenizer.specialTokens) expect(unfit.has(token)).toBe(true)
    },
  )
})
