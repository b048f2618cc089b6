/** @file A tokenizer.json as what GGUF's metadata say of a tokenizer, so that llama.cpp cuts texts in the same way. */
import { UserError } from '../../errors.ts'
import type { Step } from '../cutters.ts'
import { pieceDecoding } from '../pieces.ts'
import type { TextLimits } from '../special-tokens.ts'
import type { TokenizerJson } from '../tokenizer.ts'
import { fillerOf } from './from-gguf.ts'
import { preTokenizerName } from './pre-tokenizers.ts'
import { mergesFromScores, scoresFromMerges } from './sentencepiece.ts'
import { TOKEN_TYPES } from './token-types.ts'

/** What the keys `tokenizer.ggml.…` say. */
export type GgufVocabulary = {
  model: 'gpt2' | 'llama'
  /** How texts are cut before merging, by llama.cpp's name. */
  pre: string
  tokens: string[]
  tokenTypes: number[]
  /** Of a byte-level vocabulary. */
  merges?: string[]
  /** Of a SentencePiece vocabulary. */
  scores?: number[]
  addSpacePrefix?: boolean
  unknownToken?: number
  addBos: boolean
  addEos: boolean
}

/**
 * @param vocabularySize  rows of the embedding matrix; ids that the tokenizer does not have are filled
 * @throws UserError where GGUF or llama.cpp has no word for what the tokenizer does
 */
export function tokenizerToGguf(
  json: TokenizerJson,
  limits: TextLimits,
  vocabularySize: number,
  where: string,
): GgufVocabulary {
  const { tokens, tokenTypes } = vocabularyOf(json, vocabularySize, where)
  const ends = addedEnds(json, limits, where)
  const { coding, dropsFirstSpace } = pieceDecoding(json.decoder, where)
  const merges = json.model.merges.map(pairOf)
  if (coding === 'byte-level') {
    const ignoreMerges = json.model.ignore_merges === true
    const pre = preTokenizerName(json.pre_tokenizer, ignoreMerges, json.normalizer)
    if (!pre) throw refusal(where, 'llama.cpp has no name for the way in which this tokenizer cuts texts')
    return { model: 'gpt2', pre, tokens, tokenTypes, merges: merges.map((pair) => pair.join(' ')), ...ends }
  }
  const addSpacePrefix = spacePrefix(json, where)
  if (addSpacePrefix !== dropsFirstSpace)
    throw refusal(where, 'it puts a space before texts and does not take it away, or the other way round')
  const unknownToken = tokens.findIndex((_, id) => tokenTypes[id] === TOKEN_TYPES.unknown)
  return {
    model: 'llama',
    pre: 'default',
    tokens,
    tokenTypes,
    scores: checkedScores(tokens, tokenTypes, merges, where),
    addSpacePrefix,
    ...(unknownToken >= 0 && { unknownToken }),
    ...ends,
  }
}

function vocabularyOf(json: TokenizerJson, vocabularySize: number, where: string) {
  const tokens = Array.from({ length: vocabularySize }, (_, id) => fillerOf(id))
  const tokenTypes = new Array<number>(vocabularySize).fill(TOKEN_TYPES.unused)
  const set = (piece: string, id: number, type: number) => {
    if (id >= vocabularySize)
      throw refusal(where, `token ${id} has no row in the model's embedding matrix of ${vocabularySize}`)
    tokens[id] = piece
    tokenTypes[id] = type
  }
  const isBytes = json.model.byte_fallback === true
  for (const [piece, id] of Object.entries(json.model.vocab))
    set(piece, id, isBytes && /^<0x[0-9A-F]{2}>$/.test(piece) ? TOKEN_TYPES.byte : TOKEN_TYPES.normal)
  for (const { content, id, special } of json.added_tokens) {
    const kind = content === json.model.unk_token ? TOKEN_TYPES.unknown : TOKEN_TYPES.control
    set(content, id, special ? kind : TOKEN_TYPES.userDefined)
  }
  return { tokens, tokenTypes }
}

/** Scores that give the same merges again. @throws UserError where there are none: llama.cpp would cut otherwise */
function checkedScores(
  tokens: readonly string[],
  tokenTypes: readonly number[],
  merges: readonly (readonly string[])[],
  where: string,
): number[] {
  const made = merges.map((pair) => pair.join(''))
  const scores = scoresFromMerges(tokens, made)
  const scored = scores.map((score, id) => (tokenTypes[id] === TOKEN_TYPES.normal ? score : undefined))
  const again = mergesFromScores(tokens, scored)
  const distinct = new Set(merges.map((pair) => pair.join(' '))).size
  if (distinct === made.length && again.length === made.length && again.every((merge, i) => merge.made === made[i]))
    return scores.map((score, id) => (tokenTypes[id] === TOKEN_TYPES.normal ? score : 0))
  throw refusal(where, 'its merges are not those of a SentencePiece vocabulary, which GGUF keeps as scores')
}

/** A tokenizer.json writes a pair as a list, or with a space between. */
function pairOf(merge: unknown): [string, string] {
  if (Array.isArray(merge)) return [String(merge[0]), String(merge[1])]
  const text = String(merge)
  const space = text.indexOf(' ', 1)
  return [text.slice(0, space), text.slice(space + 1)]
}

/** Whether a text gets a ▁ first; all else that llama.cpp's SentencePiece does not do is refused. */
function spacePrefix({ normalizer, pre_tokenizer }: TokenizerJson, where: string): boolean {
  const steps = [normalizer, pre_tokenizer].flatMap(flattened)
  const foreign = steps.find(({ type }) => !['Prepend', 'Replace', 'Metaspace'].includes(type))
  if (foreign) throw refusal(where, `llama.cpp's SentencePiece has no step ${foreign.type}`)
  return steps.some(
    ({ type, prepend_scheme }) => type === 'Prepend' || (type === 'Metaspace' && prepend_scheme !== 'never'),
  )
}

const flattened = (step: Step | null): Step[] => {
  if (!step) return []
  return step.type === 'Sequence' ? ((step.normalizers ?? step.pretokenizers) as Step[]) : [step]
}

type TemplateItem = { SpecialToken?: { id: string }; Sequence?: unknown }

/** Whether the template surrounds a text with the tokens that begin and end one. */
function addedEnds({ post_processor, model, added_tokens }: TokenizerJson, limits: TextLimits, where: string) {
  const processors = post_processor ? [post_processor, ...((post_processor.processors ?? []) as Step[])] : []
  const found = processors.find(({ type }) => type === 'TemplateProcessing')
  const single = (found?.single ?? [{ Sequence: {} }]) as TemplateItem[]
  const text = single.findIndex((item) => item.Sequence)
  const idOf = (item: TemplateItem) => {
    const piece = item.SpecialToken?.id ?? ''
    return added_tokens.find(({ content }) => content === piece)?.id ?? model.vocab[piece]
  }
  const added = (items: readonly TemplateItem[], token: number | undefined) => {
    if (items.length === 0) return false
    if (items.length === 1 && idOf(items[0]) === token) return true
    throw refusal(where, 'its template surrounds texts with other tokens than those that begin and end one')
  }
  return {
    addBos: added(single.slice(0, text), limits.bosToken),
    addEos: added(single.slice(text + 1), limits.eosToken),
  }
}

const refusal = (where: string, what: string) =>
  new UserError({ what: `the tokenizer cannot be written to GGUF: ${what}`, where, fix: 'export to safetensors' })
