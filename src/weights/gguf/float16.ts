import { widenFloat16 } from '../dtypes.ts'

let table: Float32Array | undefined

/** The float16 at a place in bytes, little-endian. */
export function float16At(bytes: Uint8Array, at: number): number {
  table ??= widenFloat16(Uint16Array.from({ length: 65536 }, (_, bits) => bits))
  return table[bytes[at] | (bytes[at + 1] << 8)]
}
