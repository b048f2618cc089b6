/** @file Damages bytes as a bad disk, a cut download or an attacker would, from a stream of draws. */
import type { Draws } from '../src/random.ts'

/** Numbers at which readers break: around 0, the limits of types, more than any file has. */
const HOSTILE = [0n, 1n, 2n, 7n, 255n, 65_535n, 1n << 31n, (1n << 32n) - 1n, 1n << 53n, 1n << 62n, (1n << 64n) - 1n]

type Damage = (bytes: Buffer, draws: Draws) => Buffer

const place = (bytes: Buffer, draws: Draws) => draws.integer(bytes.length + 1)
const cut = (bytes: Buffer, from: number, to: number, put: Uint8Array = new Uint8Array(0)) =>
  Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(Math.max(from, to))])

const damages: readonly Damage[] = [
  (bytes, draws) => {
    const at = place(bytes, draws)
    return cut(bytes, at, at + 1, Uint8Array.of(draws.integer(256)))
  },
  (bytes, draws) => {
    const [at, width] = [place(bytes, draws), draws.integer(2) ? 8 : 4]
    const number = Buffer.alloc(8)
    number.writeBigUInt64LE(HOSTILE[draws.integer(HOSTILE.length)])
    return cut(bytes, at, at + width, number.subarray(0, width))
  },
  (bytes, draws) => {
    const at = place(bytes, draws)
    if (at + 8 > bytes.length) return bytes
    const number = Buffer.alloc(8)
    number.writeBigUInt64LE(BigInt.asUintN(64, bytes.readBigUInt64LE(at) + BigInt(draws.integer(65) - 32)))
    return cut(bytes, at, at + 8, number)
  },
  (bytes, draws) => bytes.subarray(0, place(bytes, draws)),
  (bytes, draws) => {
    const [from, length] = [place(bytes, draws), draws.integer(32)]
    return cut(bytes, from, from + length)
  },
  (bytes, draws) => {
    const [from, to] = [place(bytes, draws), place(bytes, draws)]
    return cut(bytes, to, to, bytes.subarray(from, from + draws.integer(64)))
  },
  (bytes, draws) => {
    // another number where a text has one
    const digits = [...bytes.toString('latin1').matchAll(/\d+/g)]
    if (!digits.length) return bytes
    const { index, 0: text } = digits[draws.integer(digits.length)]
    const numbers = [...HOSTILE.map(String), '-1', '1.5', '1e400', '"1"', 'null', '[]', '{}']
    return cut(bytes, index, index + text.length, Buffer.from(numbers[draws.integer(numbers.length)]))
  },
]

/** A copy with up to four damages, the first hundreds of bytes hit as often as all others. */
export function mutate(bytes: Uint8Array, draws: Draws): Buffer {
  let mutated: Buffer = Buffer.from(bytes)
  for (let left = 1 + draws.integer(4); left > 0; left--) {
    const damage = damages[draws.integer(damages.length)]
    const head = draws.integer(2) ? Math.min(mutated.length, 512) : mutated.length
    mutated = Buffer.concat([damage(mutated.subarray(0, head), draws), mutated.subarray(head)])
  }
  return mutated
}
