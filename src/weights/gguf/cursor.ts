/**
 * @file Reads the primitives of a GGUF header one after the other. No length is believed: what a header claims must lie
 * within the file and within what a header may take, before a byte of it is fetched or allocated.
 */
import { UserError } from '../../errors.ts'
import type { ByteSource } from './byte-source.ts'

/** A larger header is a damaged or hostile file: that of a model with 250,000 pieces and their merges has about 20 MB. */
export const MAX_HEADER_BYTES = 100_000_000

const WINDOW_BYTES = 1 << 20 // what is fetched at a time

export type Cursor = {
  /** Where the next byte is read. */
  position(): number
  /** The next bytes, valid until the next call. @throws UserError where the file or the header's limit ends before */
  take(bytes: number, what: string): Uint8Array
  u32(what: string): number
  /** 64 bits, as a number that is exact. @throws UserError for more than 2⁵³ */
  size(what: string): number
  /** @throws UserError for bytes that are not UTF-8 */
  text(what: string): string
  /** How many items may follow at most, each of so many bytes. */
  room(bytesEach: number): number
}

/** A cursor at the beginning of a source. */
export function openCursor(source: ByteSource): Cursor {
  const end = Math.min(source.size, MAX_HEADER_BYTES)
  let window = new Uint8Array(0)
  let start = 0 // where the window begins in the file
  let position = 0

  function take(bytes: number, what: string): Uint8Array {
    if (bytes > end - position) {
      const limit = end < source.size ? `no header has more than ${thousands(end)} bytes` : 'the file ends before it'
      throw damaged(source.path, `${what} takes ${thousands(bytes)} bytes, and ${limit}`)
    }
    if (position + bytes > start + window.length) {
      start = position
      window = new Uint8Array(Math.min(end - position, Math.max(bytes, WINDOW_BYTES)))
      source.read(window, start)
    }
    const taken = window.subarray(position - start, position - start + bytes)
    position += bytes
    return taken
  }

  const view = (bytes: number, what: string) => {
    const taken = take(bytes, what)
    return new DataView(taken.buffer, taken.byteOffset, bytes)
  }

  function size(what: string): number {
    const value = view(8, what).getBigUint64(0, true)
    if (value <= Number.MAX_SAFE_INTEGER) return Number(value)
    throw damaged(source.path, `${what} is ${value.toLocaleString('en')}`)
  }

  function text(what: string): string {
    const bytes = take(size(`the length of ${what}`), what)
    try {
      return utf8.decode(bytes)
    } catch {
      throw damaged(source.path, `${what} is not UTF-8`)
    }
  }

  return {
    position: () => position,
    take,
    u32: (what) => view(4, what).getUint32(0, true),
    size,
    text,
    room: (bytesEach) => Math.floor((end - position) / bytesEach),
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }) // a byte order mark is a piece like others

/** The complaint about a file that is not what it claims. */
export const damaged = (path: string, what: string) =>
  new UserError({ what: `not a whole GGUF file: ${what}`, where: path, fix: 'download or export it again' })

export const thousands = (count: number) => count.toLocaleString('en')

/** A name from a file as a message shows it: short, and without characters that move the cursor of a terminal. */
export const shown = (name: string) => JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name).slice(1, -1)
