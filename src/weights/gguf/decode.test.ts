import { readFileSync } from 'node:fs'
import { GGMLQuantizationType } from '@huggingface/gguf'
import { describe, expect, it } from 'vitest'
import { BLOCK_TYPES, type BlockType, bytesOfBlocks, UNREAD_TYPES } from './block-types.ts'
import { decodeBlocks } from './decode.ts'

type Golden = Record<string, { bytes_hex: string; values: number[] }>
const golden: Golden = JSON.parse(
  readFileSync(new URL('../../../test/golden/gguf-blocks.json', import.meta.url), 'utf8'),
)

describe('blocks have the values that ggml gives them', () => {
  it.each(Object.entries(golden))('%s, to the 7 digits of the golden file', (type, { bytes_hex, values }) => {
    const bytes = Uint8Array.from(Buffer.from(bytes_hex, 'hex'))
    expect(bytes.length).toBe(bytesOfBlocks(type as BlockType, values.length))
    const decoded = new Float32Array(values.length)
    decodeBlocks(type as BlockType, bytes, decoded)
    for (const [i, value] of values.entries())
      expect(Math.abs(decoded[i] - value)).toBeLessThanOrEqual(1e-6 * Math.abs(value))
  })

  it('every type but float32 has golden values', () => {
    expect(Object.keys(BLOCK_TYPES).filter((type) => !(type in golden))).toEqual(['F32'])
  })

  it('the numbers of types are those of other software', () => {
    for (const [type, { id }] of Object.entries(BLOCK_TYPES)) expect(GGMLQuantizationType[id]).toBe(type)
    for (const [id, type] of Object.entries(UNREAD_TYPES))
      expect([undefined, type]).toContain(GGMLQuantizationType[+id])
  })
})
