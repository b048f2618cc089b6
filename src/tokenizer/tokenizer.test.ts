import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fromRoot } from '../../test/from-root.ts'
import { loadTokenizer, type Tokenizer } from './tokenizer.ts'

type Case = { text: string; tokens: number[]; decoded: string }
const golden: Record<string, Case[]> = JSON.parse(readFileSync(fromRoot('test/golden/tokenizers.json'), 'utf8'))

const REAL = {
  gpt2: '../shared/data/tokenizers/gpt2',
  llama2: '../shared/data/tokenizers/llama2',
  smollm2: '../shared/data/tokenizers/smollm2',
  stories260K: '../shared/models/stories260K',
} as const

/** 't \ufeffx\u0085\n' in Hugging Face's tokenizers 0.23. */
const SPACES: Record<string, number[]> = {
  gpt2: [83, 27332, 119, 123, 87, 126, 227, 198],
  smollm2: [100, 216, 186, 136, 140, 104, 141, 223, 198],
}

for (const [name, folder] of Object.entries(REAL)) {
  const absent = !existsSync(fromRoot(folder))
  describe.skipIf(absent)(`${name}${absent ? `: skipped, there is no ${folder}` : ''}`, () => {
    let tokenizer: Tokenizer
    beforeAll(async () => {
      tokenizer = await loadTokenizer(fromRoot(folder))
    })

    it.each(golden[name])('cuts and joins $text as Hugging Face does', ({ text, tokens, decoded }) => {
      expect(tokenizer.encode(text, { allowSpecial: true })).toEqual(tokens)
      expect(tokenizer.decode(tokens)).toBe(decoded)
    })

    const texts = [
      ...golden[name].map(({ text }) => text),
      '\ufeffmark',
      'Ġ▁<0x41>',
      '\u0000\u007f\u00ad\u00a0',
      '. ',
      '  two',
    ]

    /** SentencePiece writes a space as ▁ and so cannot tell them apart. */
    const expectedText = (text: string) => (name === 'gpt2' || name === 'smollm2' ? text : text.replaceAll('▁', ' '))

    const withUnicodeSpaces = SPACES[name]
    if (withUnicodeSpaces) {
      it('takes a byte order mark for a letter and U+0085 for a space, as Hugging Face does', () => {
        expect(tokenizer.encode('t \ufeffx\u0085\n')).toEqual(withUnicodeSpaces)
      })
    }

    it('reads text as text, without special tokens, and gives it back', () => {
      for (const text of texts) {
        const tokens = tokenizer.encode(text)
        expect(tokens.filter((token) => tokenizer.specialTokens.has(token))).toEqual([])
        expect(tokenizer.decode(tokens)).toBe(expectedText(text))
      }
    })

    it('continues with the bytes of a text and no others', () => {
      for (const text of texts) {
        const bytes = Buffer.concat(tokenizer.encodeContinuation(text).map(tokenizer.bytesOf))
        expect(bytes.toString()).toBe(expectedText(text))
      }
    })

    it('a text that is cut in two anywhere is put together again exactly', () => {
      const hard = ['Once upon  a time.\n "Hi," she said… naïve 日本 🙂👩‍👩‍👧 end ', ...texts].map(expectedText)
      for (const text of hard)
        for (const at of characterStarts(text).slice(1)) {
          const [prompt, latent] = [text.slice(0, at), text.slice(at)]
          const tokens = [...tokenizer.encode(prompt), ...tokenizer.encodeContinuation(latent)]
          expect(tokenizer.decode(tokens)).toBe(text)
          expect(tokenizer.decodeContinuation(tokenizer.encodeContinuation(latent))).toBe(latent)
        }
    })

    it('a prompt leaves the spaces at its end, and no other white space, to the latent', () => {
      const prompt = (text: string) => tokenizer.encodePrompt(text)
      expect(prompt('She said. ')).toEqual(prompt('She said.'))
      expect(prompt('She said.')).toEqual(tokenizer.encode('She said.', { addSpecialTokens: true }))
      expect(prompt('Answer:\n')).not.toEqual(prompt('Answer:'))
      expect(tokenizer.textOf(prompt('Answer:\n').at(-1)!).endsWith('\n')).toBe(true)
      const [first] = tokenizer.encodeContinuation(' The cat')
      expect(tokenizer.textOf(first)).toMatch(/^ /) // the space is the latent's own
    })

    it('a character that is cut inside is shown as bytes, and never as U+FFFD', () => {
      const [whole, cut] = ['🫠', '👩‍👩‍👧'].map((text) => tokenizer.encodeContinuation(text))
      expect(whole.length).toBeGreaterThan(1)
      for (const tokens of [whole, cut])
        for (let length = 1; length < tokens.length; length++) {
          const shown = tokenizer.decodeContinuation(tokens.slice(0, length))
          expect(shown).not.toContain('\ufffd')
        }
      expect(tokenizer.decodeContinuation(whole.slice(0, -1))).toMatch(/^(<0x(F0|9F|AB)>)+$/)
      expect(tokenizer.decodeContinuation([...whole.slice(0, -1), ...whole])).toMatch(/^(<0x..>)+🫠$/)
      expect(tokenizer.decode(tokenizer.encode('\ufffd'))).toBe('\ufffd') // where it is written, it is there
    })

    it('every byte that the vocabulary can spell is the byte of some token', () => {
      const bytes = Array.from({ length: tokenizer.vocabularySize }, (_, token) => tokenizer.bytesOf(token))
      const single = new Set(bytes.filter(({ length }) => length === 1).map(([byte]) => byte))
      // SmolLM2 was trained on text alone and lacks 13 bytes that UTF-8 has no use for, and 8 very rare ones
      expect(single.size).toBe(name === 'smollm2' ? 235 : 256)
    })

    it('a text of 5,000 characters takes no special care', () => {
      const text = 'Once upon a time, there was a naïve café. '.repeat(120)
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
    })
  })
}

/** Where characters begin: between the halves of a surrogate pair there is no text. */
const characterStarts = (text: string) => [...text].map((_, i, all) => all.slice(0, i).join('').length)

const hasStories = existsSync(fromRoot(REAL.stories260K))
describe.skipIf(!hasStories)(`SentencePiece${hasStories ? '' : `: skipped, there is no ${REAL.stories260K}`}`, () => {
  let stories: Tokenizer
  beforeAll(async () => {
    stories = await loadTokenizer(fromRoot(REAL.stories260K))
  })

  it('a continuation begins without the space that a text begins with', () => {
    expect(stories.encode('.')).toEqual([stories.idOf('▁'), stories.idOf('.')])
    expect(stories.encodeContinuation('.')).toEqual([stories.idOf('.')])
    expect(stories.encodeContinuation(' a')).toEqual([stories.idOf('▁a')])
    expect(stories.encode('a')).toEqual([stories.idOf('▁a')])
    expect(stories.decode([stories.idOf('▁a')!])).toBe('a')
    expect(stories.decodeContinuation([stories.idOf('▁a')!])).toBe(' a')
  })

  it('the template puts the beginning of text before the tokens when asked', () => {
    expect(stories.encode('a', { addSpecialTokens: true })).toEqual([stories.bosToken, stories.idOf('▁a')])
  })

  it('a single token shows its bytes, also those of a part of a character', () => {
    expect([...stories.bytesOf(stories.idOf('<0xE2>')!)]).toEqual([0xe2])
    expect(stories.textOf(stories.idOf('▁the')!)).toBe(' the')
    expect(stories.textOf(stories.bosToken!)).toBe('<s>')
    expect(stories.bytesOf(stories.vocabularySize + 5)).toHaveLength(0)
  })
})

describe('a folder', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tokenizer-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  const write = (file: string, value: unknown) => writeFileSync(join(folder, file), JSON.stringify(value))
  const tiny = {
    version: '1.0',
    added_tokens: [{ id: 2, content: '<s>', special: true }],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 3 }, merges: ['a b'] },
  }

  it('without a tokenizer is refused with what it holds', async () => {
    write('config.json', {})
    await expect(loadTokenizer(folder)).rejects.toThrow(/tokenizer\.json: no such file; .* holds config\.json/)
  })

  it.each(['tokenizer.model', 'vocab.json'])(
    'with a tokenizer as %s only is refused with how to convert it',
    async (file) => {
      write(file, {})
      await expect(loadTokenizer(folder)).rejects.toThrow(
        `the tokenizer is there as ${file} only: the folder holds config.json, ${file}; take tokenizer.json from the model's page, or write it: python`,
      )
      rmSync(join(folder, file))
    },
  )

  it('with a damaged tokenizer is refused', async () => {
    writeFileSync(join(folder, 'tokenizer.json'), '{"model":')
    await expect(loadTokenizer(folder)).rejects.toThrow(/tokenizer\.json: not JSON/)
    write('tokenizer.json', { ...tiny, model: { type: 'Unigram', vocab: [] } })
    await expect(loadTokenizer(folder)).rejects.toThrow(/model\.type: only byte-pair tokenizers are supported/)
    write('tokenizer.json', { ...tiny, decoder: { type: 'WordPiece' } })
    await expect(loadTokenizer(folder)).rejects.toThrow(/decoder WordPiece is not supported; choose/)
    write('tokenizer.json', { ...tiny, pre_tokenizer: { type: 'Scissors' } })
    await expect(loadTokenizer(folder)).rejects.toThrow(/not a tokenizer: .*Scissors/)
  })

  it('says in any of four files where a text begins and ends; the most specific one counts', async () => {
    write('tokenizer.json', tiny)
    const limits = async () => {
      const { bosToken, eosToken } = await loadTokenizer(folder)
      return [bosToken, eosToken]
    }
    expect(await limits()).toEqual([undefined, undefined])
    write('config.json', { bos_token_id: 0, eos_token_id: [1, 2] })
    expect(await limits()).toEqual([0, 1])
    write('special.json', { 'tokenizer.ggml.eos_token_id': 3 })
    expect(await limits()).toEqual([0, 3])
    write('special_tokens_map.json', { eos_token: { content: '<s>', lstrip: false } })
    expect(await limits()).toEqual([0, 2])
    write('tokenizer_config.json', { bos_token: null, eos_token: 'ab' })
    expect(await limits()).toEqual([undefined, 3])
  })
})
