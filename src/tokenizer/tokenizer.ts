/**
 * @file Text to tokens and back. Hugging Face's tokenizer cuts text into tokens; this file adds what sampling from a
 * distribution over texts needs: decoding that is exact to the byte, users' text that cannot smuggle in special tokens,
 * and tokens of a text that follows another one.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { readJson } from '../files.ts'
import { createCutters, stepSchema } from './cutters.ts'
import { bytesOfPiece, bytesOfText, type DecoderStep, pieceDecoding } from './pieces.ts'
import { readTextLimits, type TextLimits } from './special-tokens.ts'

export type EncodeOptions = {
  /** Surround the tokens with those that the model's template asks for, such as `<s>` before a text. Default false. */
  addSpecialTokens?: boolean
  /** Read `<s>` in the text as the special token and not as three characters. Default false: text is text. */
  allowSpecial?: boolean
}

export type Tokenizer = TextLimits & {
  /** One more than the largest id. A model's logits may have more columns: embedding matrices are often padded. */
  vocabularySize: number
  /** Ids of tokens that no text contains, such as `<s>` or `<|endoftext|>`. */
  specialTokens: ReadonlySet<number>
  /**
   * The tokens of a text that stands alone or begins something. What the vocabulary cannot spell is lost, as in Hugging
   * Face's tokenizers: some vocabularies lack the bytes of rare control characters.
   */
  encode(text: string, options?: EncodeOptions): number[]
  /**
   * The tokens of a text that follows other text: without the space that SentencePiece puts before every text it meets.
   * `encodeContinuation('.')` is the full stop after a word, and ' day' begins with the token that holds its space. The
   * tokens of both texts in one need not be those of the parts: a merge may reach across.
   */
  encodeContinuation(text: string, options?: Pick<EncodeOptions, 'allowSpecial'>): number[]
  /**
   * The text of `encode`'s tokens, special ones as they are written. Bytes that are not UTF-8, as at the end of a cut
   * character, become U+FFFD: compare such sequences by `bytesOf`. Without tokens the text is empty.
   */
  decode(tokens: readonly number[]): string
  /** The text of `encodeContinuation`'s tokens: a space at its beginning is the text's own and stays. */
  decodeContinuation(tokens: readonly number[]): string
  /** The bytes of one token: `<0xE2>` is one byte, ▁ and Ġ are spaces, an id that names no piece has none. */
  bytesOf(token: number): Uint8Array
  /** One token to be shown: its bytes as text. */
  textOf(token: number): string
  /** The token of a piece as tokenizer.json writes it (`▁the`, `Ġthe`, `<s>`). */
  idOf(piece: string): number | undefined
}

const decoderStep: z.ZodType<DecoderStep> = stepSchema.extend({
  get decoders() {
    return z.array(decoderStep).optional()
  },
})

/** The parts of tokenizer.json that are read here; the rest passes through to the tokenizer library. */
const tokenizerSchema = z.looseObject({
  model: z.looseObject({
    type: z.literal('BPE', 'only byte-pair tokenizers are supported'),
    vocab: z.record(z.string(), z.int().nonnegative()),
    merges: z.array(z.unknown()),
  }),
  added_tokens: z.array(
    z.looseObject({ id: z.int().nonnegative(), content: z.string(), special: z.boolean().default(false) }),
  ),
  decoder: decoderStep,
  normalizer: stepSchema.nullable(),
  pre_tokenizer: stepSchema.nullable(),
  post_processor: stepSchema.nullable(),
})

export type TokenizerJson = z.infer<typeof tokenizerSchema>

/** What a tokenizer is made of: tokenizer.json or what says the same, where it comes from, and a text's ends. */
export type TokenizerSource = { json: TokenizerJson; limits: TextLimits; path: string }

/** The tokenizer of a model folder. @throws UserError where tokenizer.json is absent, damaged or of an unknown kind */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  return createTokenizer(readTokenizer(folder))
}

/** What the tokenizer of a model folder is made of. @throws UserError as `loadTokenizer` */
export function readTokenizer(folder: string): TokenizerSource {
  const path = join(folder, 'tokenizer.json')
  const json = readJson(path, tokenizerSchema)
  const idOf = (piece: string) =>
    json.added_tokens.findLast(({ content }) => content === piece)?.id ?? json.model.vocab[piece]
  return { json, limits: readTextLimits(folder, idOf), path }
}

/** The tokenizer that a tokenizer.json describes. @throws UserError as `loadTokenizer` */
export function createTokenizer({ json, limits, path }: TokenizerSource): Tokenizer {
  const { coding, dropsFirstSpace } = pieceDecoding(json.decoder, path)
  const cutters = createCutters(json, path)
  const ids = new Map(Object.entries(json.model.vocab))
  const bytes: Uint8Array[] = []
  for (const [piece, id] of ids) bytes[id] = bytesOfPiece(piece, coding)
  for (const { content, id } of json.added_tokens) {
    ids.set(content, id)
    bytes[id] = bytesOfText(content) // also in a byte-level vocabulary, added tokens are written as they are
  }
  const idOf = (piece: string) => ids.get(piece)
  const bytesOf = (token: number) => bytes[token] ?? new Uint8Array(0)
  const decodeContinuation = (tokens: readonly number[]) => utf8.decode(Buffer.concat(tokens.map(bytesOf)))
  return {
    ...limits,
    vocabularySize: bytes.length,
    specialTokens: new Set(json.added_tokens.filter(({ special }) => special).map(({ id }) => id)),
    encode: (text, { addSpecialTokens = false, allowSpecial = false } = {}) =>
      cutters[allowSpecial ? 'special' : 'plain'].encode(text, { add_special_tokens: addSpecialTokens }).ids,
    encodeContinuation: (text, { allowSpecial = false } = {}) =>
      cutters[allowSpecial ? 'specialContinuation' : 'plainContinuation'].encode(text, { add_special_tokens: false })
        .ids,
    decode: (tokens) => decodeContinuation(tokens).replace(dropsFirstSpace ? /^ / : /^/, ''),
    decodeContinuation,
    bytesOf,
    textOf: (token) => decodeContinuation([token]),
    idOf,
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true }) // a byte order mark is a token like others
