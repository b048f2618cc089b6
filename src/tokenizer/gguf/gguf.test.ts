import { existsSync, readFileSync } from 'node:fs'
import { Tokenizer as Cutter } from '@huggingface/tokenizers'
import { describe, expect, it } from 'vitest'
import { fromRoot } from '../../../test/from-root.ts'
import { createTokenizer, readTokenizer, type TokenizerSource } from '../tokenizer.ts'
import { fillerOf, tokenizerFromGguf } from './from-gguf.ts'
import { PRE_TOKENIZERS, preTokenizerName, preTokenizerStep } from './pre-tokenizers.ts'
import { mergesFromScores, scoresFromMerges } from './sentencepiece.ts'
import { tokenizerToGguf } from './to-gguf.ts'

const read = (path: string) => JSON.parse(readFileSync(fromRoot(path), 'utf8'))

/** A tokenizer as the metadata that a file would have. */
function metadataOf({ json, limits, path }: TokenizerSource, vocabularySize: number): Map<string, unknown> {
  const said = tokenizerToGguf(json, limits, vocabularySize, path)
  const entries: Record<string, unknown> = {
    model: said.model,
    pre: said.pre,
    tokens: said.tokens,
    token_type: Int32Array.from(said.tokenTypes),
    scores: said.scores && Float32Array.from(said.scores),
    merges: said.merges,
    add_space_prefix: said.addSpacePrefix,
    add_bos_token: said.addBos,
    add_eos_token: said.addEos,
    bos_token_id: limits.bosToken,
    eos_token_id: limits.eosToken,
  }
  const given = Object.entries(entries).filter(([, value]) => value !== undefined)
  return new Map(given.map(([key, value]) => [`tokenizer.ggml.${key}`, value]))
}

type Case = { text: string; tokens: number[]; decoded: string }
const golden: Record<string, Case[]> = read('test/golden/tokenizers.json')
const REAL = {
  gpt2: '../shared/data/tokenizers/gpt2',
  llama2: '../shared/data/tokenizers/llama2',
  smollm2: '../shared/data/tokenizers/smollm2',
  stories260K: 'models/stories260K',
}

for (const [name, folder] of Object.entries(REAL)) {
  const absent = !existsSync(fromRoot(folder))
  describe.skipIf(absent)(`${name} through GGUF${absent ? `: skipped, there is no ${folder}` : ''}`, () => {
    const source = absent ? undefined : readTokenizer(fromRoot(folder))

    it('cuts and joins as Hugging Face does, has the same special tokens, and the same merges in the same order', () => {
      const original = createTokenizer(source!)
      const back = tokenizerFromGguf(metadataOf(source!, original.vocabularySize + 3), 'x.gguf')
      const tokenizer = createTokenizer(back)
      for (const { text, tokens, decoded } of golden[name]) {
        expect(tokenizer.encode(text, { allowSpecial: true })).toEqual(tokens)
        expect(tokenizer.decode(tokens)).toBe(decoded)
        const withEnds = { addSpecialTokens: true }
        expect(tokenizer.encode(text, withEnds)).toEqual(original.encode(text, withEnds))
        expect(tokenizer.encodeContinuation(text)).toEqual(original.encodeContinuation(text))
      }
      const pairs = source!.json.model.merges.map((pair) => (typeof pair === 'string' ? pair.split(' ') : pair))
      expect(back.json.model.merges).toEqual(pairs)
      for (const fact of ['vocabularySize', 'specialTokens', 'bosToken', 'eosToken'] as const)
        expect(tokenizer[fact]).toEqual(original[fact])
    })
  })
}

describe('ways of cutting texts', () => {
  // Made with Hugging Face's tokenizers 0.23 from the regular expressions of the models' own tokenizer.json
  const expected: Record<string, Record<string, string[]>> = read('test/golden/pre-tokenizers.json')

  it.each(Object.keys(expected))('%s cuts as Hugging Face does', (name) => {
    const model = { type: 'BPE', vocab: {}, merges: [] }
    const parts = { model, added_tokens: [], normalizer: null, post_processor: null, decoder: null }
    const { pre_tokenizer } = new Cutter({ ...parts, pre_tokenizer: preTokenizerStep(PRE_TOKENIZERS[name]) }, {})
    for (const [text, words] of Object.entries(expected[name])) {
      if (name === 'smollm' && text.includes('Ⅷ'))
        expect(pre_tokenizer!(text)).toHaveLength(3) // a known difference
      else expect(pre_tokenizer!(text)).toEqual(words)
    }
  })

  it('are known by what they do, also where a tokenizer.json writes it otherwise', () => {
    for (const [name, way] of Object.entries(PRE_TOKENIZERS)) {
      const normalizer = way.normalizer ? { type: way.normalizer } : null
      const found = preTokenizerName(preTokenizerStep(way), way.ignoreMerges, normalizer)!
      expect({ ...PRE_TOKENIZERS[found], addBos: false }, name).toEqual({ ...way, addBos: false })
    }
    const folded = {
      type: 'Split',
      pattern: {
        Regex:
          "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      },
      behavior: 'Isolated',
      invert: false,
    }
    const bytes = { type: 'ByteLevel', add_prefix_space: false, use_regex: false }
    expect(preTokenizerName({ type: 'Sequence', pretokenizers: [folded, bytes] }, true, null)).toBe('llama-bpe')
    expect(preTokenizerName({ type: 'Whitespace' }, false, null)).toBeUndefined()
    expect(preTokenizerName(null, false, null)).toBeUndefined()
  })
})

describe('scores and merges say each other', () => {
  it('a vocabulary whose pieces are made in several ways', () => {
    const pieces = ['<unk>', 'a', 'b', 'ab', 'ba', 'aba', '🙂', '🙂a']
    const scores = [undefined, -9, -9, -1, -2, -3, -9, -2]
    const merges = mergesFromScores(pieces, scores)
    expect(merges.map(({ left, right }) => [left, right])).toEqual([
      ['a', 'b'],
      ['b', 'a'],
      ['🙂', 'a'],
      ['a', 'ba'],
      ['ab', 'a'],
    ])
    const again = scoresFromMerges(
      pieces,
      merges.map(({ made }) => made),
    )
    expect(mergesFromScores(pieces, [undefined, ...again.slice(1)])).toEqual(merges)
  })
})

describe('is refused by name:', () => {
  const tiny = (changes: Record<string, unknown>) =>
    new Map<string, unknown>(
      Object.entries({ model: 'gpt2', pre: 'gpt-2', tokens: ['a', 'b', 'ab'], merges: ['a b'], ...changes })
        .filter(([, value]) => value !== undefined)
        .map(([key, value]) => [`tokenizer.ggml.${key}`, value]),
    )
  it.each([
    ['a file without a tokenizer', { model: undefined }, /there is no tokenizer in it/],
    ['another kind', { model: 'bert' }, /a tokenizer of kind "bert" is not supported; gpt2 and llama are/],
    [
      'an unknown way of cutting',
      { pre: 'viking' },
      /the way of cutting texts "viking" is not supported; gpt-2, smollm/,
    ],
    ['no way of cutting', { pre: undefined }, /does not say how texts are cut/],
    ['no tokens', { tokens: undefined }, /tokenizer\.ggml\.tokens is missing/],
    ['tokens that are numbers', { tokens: Int32Array.of(1) }, /tokens is not a list of texts/],
    ['a token twice', { tokens: ['a', 'a'] }, /1 of its tokens occur more than once/],
    ['a merge of one piece', { merges: ['ab'] }, /merge "ab" is not two pieces/],
    ['types of fewer tokens', { token_type: Int32Array.of(1) }, /token_type is not a number for each of 3 tokens/],
    ['a piece without end', { tokens: ['a'.repeat(5000)] }, /token 0 has 5000 characters/],
    ['an end that is no token', { eos_token_id: 3 }, /eos_token_id is "3", and there are 3 tokens/],
    [
      'a beginning that is to be added and is not named',
      { add_bos_token: true },
      /begin with a token that it does not name/,
    ],
    ['SentencePiece without scores', { model: 'llama' }, /scores is not a number for each of 3 tokens/],
  ])('%s', (_, changes, message) => {
    expect(() => tokenizerFromGguf(tiny(changes), 'x.gguf')).toThrow(message)
    expect(() => tokenizerFromGguf(tiny(changes), 'x.gguf')).toThrow(/^x\.gguf: /)
  })

  const embedded = readTokenizer(fromRoot('models/stories260K'))
  it.each([
    ['merges that no scores give', { model: { ...embedded.json.model, merges: embedded.json.model.merges.slice(1) } }],
    [
      'a template with other ends',
      { post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '</s>' } }, { Sequence: {} }] } },
    ],
    ['a step that llama.cpp lacks', { normalizer: { type: 'NFKC' } }],
    ['a space that is put and not taken away', { decoder: { type: 'ByteFallback' } }],
  ])('to be written, %s', (_, changes) => {
    const changed = { ...embedded, json: { ...embedded.json, ...changes } }
    expect(() => metadataOf(changed, 512)).toThrow(/the tokenizer cannot be written to GGUF: .*; export to safetensors/)
  })

  it('a vocabulary is filled up to the rows of the model, and no text has what fills it', () => {
    const said = tokenizerToGguf(embedded.json, embedded.limits, 514, 'x')
    expect(said.tokens.slice(-2)).toEqual([fillerOf(512), fillerOf(513)])
    expect(said.tokenTypes.slice(-2)).toEqual([5, 5])
    expect(createTokenizer(tokenizerFromGguf(metadataOf(embedded, 514), 'x')).vocabularySize).toBe(512)
  })
})
