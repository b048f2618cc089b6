/**
 * @file Text to tokens and back. Hugging Face's tokenizer cuts text into tokens; this file adds what sampling from a
 * distribution over texts needs: decoding that is exact to the byte, users' text that cannot smuggle in special tokens,
 * and tokens of a text that follows another one.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { contentsOf, readJson } from '../files.ts'
import { type Cutters, createCutters, stepSchema } from './cutters.ts'
import { bytesOfPiece, bytesOfText, type DecoderStep, pieceDecoding, textOfBytes } from './pieces.ts'
import type { Quotation } from './quotation.ts'
import { readTextLimits, type TextLimits } from './special-tokens.ts'

export type EncodeOptions = {
  /** Surround the tokens with those that the model's template asks for, such as `<s>` before a text. Default false. */
  addSpecialTokens?: boolean
  /** Read `<s>` in the text as the special token and not as three characters. Default false: text is text. */
  allowSpecial?: boolean
}

export type Tokenizer = TextLimits &
  Pick<Quotation, 'quote'> & {
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
     * The tokens of a text that a latent is to follow, with those that the model's template asks for. Spaces at its end are
     * left to the latent: a vocabulary's words begin with their space, and after a lone one a model knows few of them.
     */
    encodePrompt(text: string): number[]
    /** The tokens of a rendered template: special ones are special, but for those in parts that went through `quote`. */
    encodeTemplate(text: string): number[]
    /**
     * The text of `encode`'s tokens, special ones as they are written. Bytes that are not UTF-8, as at the end of a cut
     * character, are spelled: `<0xF0>`. Compare such sequences by `bytesOf`. Without tokens the text is empty.
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
  if (!existsSync(path)) refuseOtherForms(folder)
  const json = readJson(path, tokenizerSchema)
  const idOf = (piece: string) =>
    json.added_tokens.findLast(({ content }) => content === piece)?.id ?? json.model.vocab[piece]
  return { json, limits: readTextLimits(folder, idOf), path }
}

/** @throws UserError where the folder has a tokenizer in a form from before tokenizer.json */
function refuseOtherForms(folder: string): void {
  const other = ['tokenizer.model', 'vocab.json'].find((file) => existsSync(join(folder, file)))
  if (other === undefined) return
  throw new UserError({
    what: `the tokenizer is there as ${other} only: the folder holds ${contentsOf(folder)}`,
    where: folder,
    fix: `take tokenizer.json from the model's page, or write it: python -c "from transformers import AutoTokenizer as T; T.from_pretrained('${folder}').save_pretrained('${folder}')"`,
  })
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
  const decodeContinuation = (tokens: readonly number[]) => textOfBytes(Buffer.concat(tokens.map(bytesOf)))
  const cut = (way: keyof Cutters, text: string, addSpecialTokens = false) =>
    cutters[way].encode(text, { add_special_tokens: addSpecialTokens }).ids
  return {
    ...limits,
    vocabularySize: bytes.length,
    specialTokens: new Set(json.added_tokens.filter(({ special }) => special).map(({ id }) => id)),
    quote: cutters.quote,
    encode: (text, { addSpecialTokens, allowSpecial = false } = {}) =>
      cut(allowSpecial ? 'special' : 'plain', text, addSpecialTokens),
    encodeContinuation: (text, { allowSpecial = false } = {}) =>
      cut(allowSpecial ? 'specialContinuation' : 'plainContinuation', text),
    encodePrompt: (text) => cut('plain', text.replace(/ +$/, ''), true),
    encodeTemplate: (text) => cut('template', text),
    decode: (tokens) => decodeContinuation(tokens).replace(dropsFirstSpace ? /^ / : /^/, ''),
    decodeContinuation,
    bytesOf,
    textOf: (token) => decodeContinuation([token]),
    idOf,
  }
}
