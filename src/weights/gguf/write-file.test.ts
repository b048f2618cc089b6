import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { decodeBlocks } from './decode.ts'
import { encodeBlocks } from './encode.ts'
import { text } from './entries.ts'
import { openGguf } from './gguf-file.ts'
import { writeGgufFile } from './write-file.ts'

const golden: Record<string, { bytes_hex: string; values: number[] }> = JSON.parse(
  readFileSync(new URL('../../../test/golden/gguf-blocks.json', import.meta.url), 'utf8'),
)

describe('encoding', () => {
  it.each(['F16', 'Q8_0'] as const)('%s gives the bytes of ggml for the values that it made of them', (type) => {
    const bytes = Uint8Array.from(Buffer.from(golden[type].bytes_hex, 'hex'))
    const values = new Float32Array(golden[type].values.length)
    decodeBlocks(type, bytes, values)
    expect(Buffer.from(encodeBlocks(type, values)!).toString('hex')).toBe(golden[type].bytes_hex)
  })

  it('rounds half of a step away from zero, and zeros stay zeros', () => {
    const block = new Float32Array(32)
    block.set([127, 0.5, -0.5, 1.5, -1.5, 0.49])
    const [scaleLow, scaleHigh, ...steps] = encodeBlocks('Q8_0', block)!
    expect([scaleLow, scaleHigh]).toEqual([0x00, 0x3c]) // 1 as float16
    expect([...Int8Array.from(steps)].slice(0, 7)).toEqual([127, 1, -1, 2, -2, 0, 0])
    expect(encodeBlocks('Q8_0', new Float32Array(32))).toEqual(new Uint8Array(34))
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY, 1e30])('refuses %d', (value) => {
    const block = new Float32Array(32).fill(value, 5, 6)
    expect([encodeBlocks('F16', block), encodeBlocks('Q8_0', block)]).toEqual([undefined, undefined])
  })
})

describe('a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gguf-write-'))
  const path = join(folder, 'x.gguf')
  afterAll(() => rmSync(folder, { recursive: true }))

  it('takes one tensor after the other, and their parts as they come, from memory that is used again', () => {
    const log: string[] = []
    const memory = new Float32Array(2)
    const tensor = (name: string, from: number) => ({
      name,
      shape: [2, 2],
      type: 'F32' as const,
      *parts() {
        log.push(`${name} begins`)
        for (const start of [from, from + 2]) {
          memory.set([start, start + 1])
          yield memory
        }
        log.push(`${name} ends`)
      },
    })
    writeGgufFile(path, { 'general.architecture': text('x') }, [tensor('a', 0), tensor('b', 10)])
    expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends'])
    const file = openGguf(path)
    const values = (name: string) => Array.from(file.parts(name, 3), (part) => [...part])
    expect([values('a'), values('b')]).toEqual([
      [[0, 1, 2], [3]],
      [[10, 11, 12], [13]],
    ])
    file.close()
  })

  it('is there whole or not at all', () => {
    rmSync(path)
    const parts = function* () {
      yield new Float32Array(2)
      throw new Error('the source broke off')
    }
    const write = () => writeGgufFile(path, {}, [{ name: 'a', shape: [4], type: 'F32', parts }])
    expect(write).toThrow(/broke off/)
    const short = () => [new Float32Array(3)]
    expect(() => writeGgufFile(path, {}, [{ name: 'a', shape: [4], type: 'F32', parts: short }])).toThrow(
      /a: 3 values for shape \[4\]/,
    )
    expect(readdirSync(folder)).toEqual([])
  })
})
