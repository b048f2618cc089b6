/** @file The tokenizer in a GGUF file's metadata, as the tokenizer.json of the same tokenizer. */
import { UserError } from '../../errors.ts'
import type { TextLimits } from '../special-tokens.ts'
import type { TokenizerJson, TokenizerSource } from '../tokenizer.ts'
import { PRE_TOKENIZERS, preTokenizerStep } from './pre-tokenizers.ts'
import { mergesFromScores } from './sentencepiece.ts'
import { TOKEN_TYPES } from './token-types.ts'

const MAX_PIECE = 4096 // characters: a longer piece is a damaged or hostile file, and pairs grow with its square

/**
 * @param metadata  by full key
 * @param where  what messages call the file
 * @throws UserError where it is missing, damaged or of an unknown kind
 */
export function tokenizerFromGguf(metadata: ReadonlyMap<string, unknown>, where: string): TokenizerSource {
  const kind = metadata.get('tokenizer.ggml.model')
  if (kind === 'gpt2') return byteLevel(vocabularyOf(metadata, where))
  if (kind === 'llama') return sentencePiece(vocabularyOf(metadata, where))
  if (kind === undefined) throw refusal(where, 'there is no tokenizer in it (tokenizer.ggml.model)')
  throw refusal(where, `a tokenizer of kind ${shown(kind)} is not supported; gpt2 and llama are`)
}

type Vocabulary = {
  metadata: ReadonlyMap<string, unknown>
  where: string
  tokens: readonly string[]
  typeOf: (id: number) => number
}

function vocabularyOf(metadata: ReadonlyMap<string, unknown>, where: string): Vocabulary {
  const tokens = textsOf(metadata, 'tokenizer.ggml.tokens', where)
  const types = metadata.get('tokenizer.ggml.token_type')
  if (types !== undefined && !(isNumbers(types) && types.length === tokens.length))
    throw refusal(where, `tokenizer.ggml.token_type is not a number for each of ${tokens.length} tokens`)
  const long = tokens.findIndex(({ length }) => length > MAX_PIECE)
  if (long >= 0) throw refusal(where, `token ${long} has ${tokens[long].length} characters`)
  const seen = new Set(tokens)
  if (seen.size !== tokens.length)
    throw refusal(where, `${tokens.length - seen.size} of its tokens occur more than once`)
  const typeOf = (id: number) => (isNumbers(types) ? types[id] : TOKEN_TYPES.normal)
  return { metadata, where, tokens, typeOf }
}

function byteLevel(vocabulary: Vocabulary): TokenizerSource {
  const { metadata, where } = vocabulary
  const pre = preTokenizerOf(metadata, where)
  const merges = textsOf(metadata, 'tokenizer.ggml.merges', where).map((merge) => {
    const space = merge.indexOf(' ', 1) // a piece may be a space itself
    if (space < 0) throw refusal(where, `merge ${shown(merge)} is not two pieces`)
    return [merge.slice(0, space), merge.slice(space + 1)]
  })
  return assemble(vocabulary, {
    merges,
    model: { byte_fallback: false, ignore_merges: pre.ignoreMerges, unk_token: null },
    normalizer: pre.normalizer ? { type: pre.normalizer } : null,
    pre_tokenizer: preTokenizerStep(pre),
    decoder: { type: 'ByteLevel' },
    addBos: pre.addBos,
    defaultLimits: {},
  })
}

/** The way of cutting that the file names. GPT-2's own files are older than the name. */
function preTokenizerOf(metadata: ReadonlyMap<string, unknown>, where: string) {
  const isGpt2 = metadata.get('general.architecture') === 'gpt2'
  const name = metadata.get('tokenizer.ggml.pre') ?? (isGpt2 ? 'gpt-2' : undefined)
  if (typeof name === 'string' && Object.hasOwn(PRE_TOKENIZERS, name)) return PRE_TOKENIZERS[name]
  if (name === undefined) throw refusal(where, 'it does not say how texts are cut (tokenizer.ggml.pre)')
  const known = Object.keys(PRE_TOKENIZERS).join(', ')
  throw refusal(where, `the way of cutting texts ${shown(name)} is not supported; ${known} are`)
}

const SPACES_BACK = { type: 'Replace', pattern: { String: '▁' }, content: ' ' }

function sentencePiece(vocabulary: Vocabulary): TokenizerSource {
  const { metadata, where, tokens, typeOf } = vocabulary
  const scores = metadata.get('tokenizer.ggml.scores')
  if (!(isNumbers(scores) && scores.length === tokens.length && scores.every(Number.isFinite)))
    throw refusal(where, `tokenizer.ggml.scores is not a number for each of ${tokens.length} tokens`)
  const scored = tokens.map((_, id) => (typeOf(id) === TOKEN_TYPES.normal ? scores[id] : undefined))
  const unknown = tokens.findIndex((_, id) => typeOf(id) === TOKEN_TYPES.unknown)
  const addsSpace = metadata.get('tokenizer.ggml.add_space_prefix') !== false
  const steps = <T>(first: boolean, step: T) => (first ? [step] : [])
  return assemble(vocabulary, {
    merges: mergesFromScores(tokens, scored).map(({ left, right }) => [left, right]),
    model: { byte_fallback: true, fuse_unk: true, ignore_merges: false, unk_token: tokens[unknown] ?? null },
    normalizer: {
      type: 'Sequence',
      normalizers: [
        ...steps(addsSpace, { type: 'Prepend', prepend: '▁' }),
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        SPACES_BACK,
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...steps(addsSpace, { type: 'Strip', content: ' ', start: 1, stop: 0 }),
      ],
    },
    addBos: true,
    defaultLimits: { bosToken: 1, eosToken: 2 }, // SentencePiece's own numbers
  })
}

type Parts = Pick<TokenizerJson, 'normalizer' | 'pre_tokenizer' | 'decoder'> & {
  merges: string[][]
  model: Record<string, unknown>
  addBos: boolean
  defaultLimits: Partial<TextLimits>
}

function assemble(vocabulary: Vocabulary, parts: Parts): TokenizerSource {
  const { metadata, where, tokens, typeOf } = vocabulary
  const { addBos, defaultLimits, merges, model, ...steps } = parts
  const limits = {
    bosToken: tokenOf(vocabulary, 'bos') ?? defaultLimits.bosToken,
    eosToken: tokenOf(vocabulary, 'eos') ?? defaultLimits.eosToken,
  }
  const flag = (key: string, otherwise: boolean) => {
    const value = metadata.get(`tokenizer.ggml.${key}`)
    return typeof value === 'boolean' ? value : otherwise
  }
  const ends = { bos: flag('add_bos_token', addBos), eos: flag('add_eos_token', false) }
  const isSpecial = (id: number) =>
    typeOf(id) === TOKEN_TYPES.control ||
    typeOf(id) === TOKEN_TYPES.unknown ||
    id === limits.bosToken ||
    id === limits.eosToken
  const isFiller = (id: number) => typeOf(id) === TOKEN_TYPES.unused && tokens[id] === fillerOf(id)
  const ids = tokens.map((_, id) => id).filter((id) => !isFiller(id))
  return {
    path: where,
    limits,
    json: {
      ...steps,
      model: { type: 'BPE', ...model, vocab: Object.fromEntries(ids.map((id) => [tokens[id], id])), merges },
      added_tokens: ids
        .filter((id) => isSpecial(id) || typeOf(id) === TOKEN_TYPES.userDefined)
        .map((id) => ({ ...ADDED, id, content: tokens[id], special: isSpecial(id) })),
      post_processor: template(
        ends.bos ? pieceOf(tokens, limits.bosToken, 'begin', where) : undefined,
        ends.eos ? pieceOf(tokens, limits.eosToken, 'end', where) : undefined,
      ),
    },
  }
}

const ADDED = { single_word: false, lstrip: false, rstrip: false, normalized: false }

/** What fills a vocabulary up to the rows of the embedding matrix; no text has it. */
export const fillerOf = (id: number) => `[PAD${id}]`

type Piece = { piece: string; id: number }

function pieceOf(tokens: readonly string[], id: number | undefined, verb: string, where: string): Piece {
  if (id !== undefined && id < tokens.length) return { piece: tokens[id], id }
  throw refusal(where, `texts are to ${verb} with a token that it does not name`)
}

/** What surrounds a text when special tokens are asked for. */
function template(begin: Piece | undefined, end: Piece | undefined) {
  const special = ({ piece }: Piece) => ({ SpecialToken: { id: piece, type_id: 0 } })
  const around = [begin, end].filter((piece) => piece !== undefined)
  const single = [
    ...(begin ? [special(begin)] : []),
    { Sequence: { id: 'A', type_id: 0 } },
    ...(end ? [special(end)] : []),
  ]
  const tokens = around.map(({ piece, id }) => [piece, { id: piece, ids: [id], tokens: [piece] }])
  return { type: 'TemplateProcessing', single, pair: single, special_tokens: Object.fromEntries(tokens) }
}

function tokenOf({ metadata, tokens, where }: Vocabulary, which: string): number | undefined {
  const key = `tokenizer.ggml.${which}_token_id`
  const id = metadata.get(key)
  if (id === undefined) return undefined
  if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < tokens.length) return id
  throw refusal(where, `${key} is ${shown(id)}, and there are ${tokens.length} tokens`)
}

function textsOf(metadata: ReadonlyMap<string, unknown>, key: string, where: string): readonly string[] {
  const value = metadata.get(key)
  if (Array.isArray(value) && value.length && typeof value[0] === 'string') return value
  throw refusal(where, `${key} ${value === undefined ? 'is missing' : 'is not a list of texts'}`)
}

type Numbers = Int32Array | Uint32Array | Float32Array

const isNumbers = (value: unknown): value is Numbers =>
  value instanceof Int32Array || value instanceof Uint32Array || value instanceof Float32Array

const shown = (value: unknown) => JSON.stringify(String(value).slice(0, 60))

const refusal = (where: string, what: string) =>
  new UserError({ what, where, fix: 'use a file that a current llama.cpp has converted' })
