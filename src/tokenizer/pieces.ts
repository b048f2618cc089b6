/**
 * @file The bytes that a vocabulary's pieces stand for. A piece is a string in tokenizer.json and a few bytes of text,
 * often not whole characters: 🙂 may be four tokens. Two codings cover the language models that flowtune reads.
 */
import { isUtf8 } from 'node:buffer'
import { UserError } from '../errors.ts'

/**
 * - `byte-level` (GPT-2 and its descendants): every byte is one printable character, a space is Ġ.
 * - `byte-fallback` (SentencePiece): text as it is with ▁ for a space, and `<0xE2>` for a byte that no piece has.
 */
export type PieceCoding = 'byte-level' | 'byte-fallback'

/** A decoder of tokenizer.json: a step, or a sequence of steps. */
export type DecoderStep = { type: string; decoders?: DecoderStep[]; content?: unknown; prepend_scheme?: unknown }

/** How pieces become text; `dropsFirstSpace` where the first space of a text is one that encoding put there. */
export type PieceDecoding = { coding: PieceCoding; dropsFirstSpace: boolean }

const FALLBACK_STEPS = new Set(['Replace', 'ByteFallback', 'Fuse', 'Strip', 'Metaspace'])

/** The decoding that a tokenizer.json describes. @throws UserError for a decoder that has no byte-exact reading here */
export function pieceDecoding(decoder: DecoderStep, where: string): PieceDecoding {
  const steps = decoder.decoders ?? [decoder]
  if (steps.every(({ type }) => type === 'ByteLevel')) return { coding: 'byte-level', dropsFirstSpace: false }
  const foreign = steps.find(({ type }) => !FALLBACK_STEPS.has(type))
  if (foreign) {
    throw new UserError({
      what: `decoder ${foreign.type} is not supported`,
      where,
      fix: 'choose a model with a byte-level or SentencePiece tokenizer, such as GPT-2, Llama or Qwen',
    })
  }
  return { coding: 'byte-fallback', dropsFirstSpace: steps.some(dropsSpace) }
}

const dropsSpace = ({ type, content, prepend_scheme }: DecoderStep) =>
  (type === 'Strip' && content === ' ') || (type === 'Metaspace' && prepend_scheme !== 'never')

/** The bytes of a piece, as many as it stands for. */
export function bytesOfPiece(piece: string, coding: PieceCoding): Uint8Array {
  if (coding === 'byte-level') return Uint8Array.from(piece, (character) => BYTE_OF_CHARACTER.get(character)!)
  const byte = /^<0x([0-9A-F]{2})>$/.exec(piece)
  return byte ? Uint8Array.of(Number.parseInt(byte[1], 16)) : bytesOfText(piece.replaceAll('▁', ' '))
}

/** UTF-8. */
export const bytesOfText = (text: string): Uint8Array => new TextEncoder().encode(text)

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true }) // a byte order mark is a token like others

/** The inverse of `bytesOfText`. Bytes that are no UTF-8 are spelled as SentencePiece spells them: `<0xF0>`. */
export function textOfBytes(bytes: Uint8Array): string {
  if (isUtf8(bytes)) return utf8.decode(bytes)
  let text = ''
  for (let at = 0; at < bytes.length; ) {
    const length = [1, 2, 3, 4].find((length) => at + length <= bytes.length && isUtf8(bytes.subarray(at, at + length)))
    text += length ? utf8.decode(bytes.subarray(at, at + length)) : spelled(bytes[at])
    at += length ?? 1
  }
  return text
}

const spelled = (byte: number) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`

/**
 * GPT-2's bytes as characters: a printable character of Latin-1 is itself, the other 68 bytes take the characters from
 * U+0100 on, in order.
 */
const BYTE_OF_CHARACTER = new Map<string, number>()
for (let byte = 0, next = 0x100; byte < 256; byte++) {
  const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad) // 0xad is the soft hyphen
  BYTE_OF_CHARACTER.set(String.fromCodePoint(printable ? byte : next++), byte)
}
