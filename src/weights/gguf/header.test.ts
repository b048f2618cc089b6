import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gguf } from '@huggingface/gguf'
import { afterAll, describe, expect, it } from 'vitest'
import { fromRoot } from '../../../test/from-root.ts'
import { UserError } from '../../errors.ts'
import { count, flag, integers, real, reals, text, texts } from './entries.ts'
import { openGguf } from './gguf-file.ts'
import { writeGgufFile } from './write-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'gguf-'))
const path = join(folder, 'x.gguf')
afterAll(() => rmSync(folder, { recursive: true }))

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const u64 = (value: number | bigint) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const str = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)])
const [UINT32, TEXT, ARRAY] = [4, 8, 9]
const entry = (key: string, type: number, value: Uint8Array) => Buffer.concat([str(key), u32(type), value])
const tensor = (name: string, extents: (number | bigint)[], type: number, offset: number | bigint) =>
  Buffer.concat([str(name), u32(extents.length), ...extents.map(u64), u32(type), u64(offset)])

type File = {
  version?: number
  counts?: [tensors: number | bigint, entries: number | bigint]
  entries?: Buffer[]
  tensors?: Buffer[]
  data?: number
}

/** A file as anyone could make it, padded to 32 bytes before its data. */
function writeRaw({ version = 3, counts, entries = [], tensors = [], data = 64 }: File): void {
  const [tensorCount, entryCount] = counts ?? [tensors.length, entries.length]
  const head = Buffer.concat([
    Buffer.from('GGUF'),
    u32(version),
    u64(tensorCount),
    u64(entryCount),
    ...entries,
    ...tensors,
  ])
  writeFileSync(path, Buffer.concat([head, Buffer.alloc((32 - (head.length % 32)) % 32), Buffer.alloc(data)]))
}

const refusal = (open: () => unknown) => {
  try {
    open()
  } catch (error) {
    expect(error).toBeInstanceOf(UserError)
    return (error as UserError).message
  }
  throw new Error('was not refused')
}

describe('a damaged file is refused by name', () => {
  const f32 = (name: string, extents: (number | bigint)[], offset: number | bigint = 0) =>
    tensor(name, extents, 0, offset)
  const cases: [name: string, file: File, message: RegExp][] = [
    ['a version of the future', { version: 4 }, /GGUF version 4 is not supported; use .* version 2 or 3/],
    ['another byte order', { version: 0x03000000 }, /big-endian/],
    ['more tensors than bytes', { counts: [1n << 62n, 0] }, /the number of tensors is 4,611,686,018,427,387,904/],
    ['a million tensors', { counts: [1_000_000, 0] }, /claims 1,000,000 tensors, more than \d+ bytes can hold/],
    ['a million entries', { counts: [0, 1_000_000] }, /claims 1,000,000 metadata entries/],
    [
      'a key longer than the file',
      { counts: [0, 1], data: 64, entries: [u64(1000)] },
      /metadata key 1 takes 1,000 bytes/,
    ],
    ['a key twice', { entries: [1, 2].map((i) => entry('a', UINT32, u32(i))) }, /metadata have a twice/],
    ['a type that does not exist', { entries: [entry('a', 13, u32(0))] }, /a has type 13, which does not exist/],
    [
      'text that is not UTF-8',
      { entries: [entry('a', TEXT, Buffer.concat([u64(1), Uint8Array.of(255)]))] },
      /a is not UTF-8/,
    ],
    [
      'an array longer than the file',
      { entries: [entry('a', ARRAY, Buffer.concat([u32(UINT32), u64(1n << 50n)]))] },
      /a takes 4,503,599,627,370,496 bytes, and the file ends before it/,
    ],
    [
      'texts without end',
      { entries: [entry('a', ARRAY, Buffer.concat([u32(TEXT), u64(1n << 50n)]))] },
      /a\[\d\]|the length of a\[\d+\] takes 8 bytes/,
    ],
    [
      'an array of arrays',
      { entries: [entry('a', ARRAY, Buffer.concat([u32(ARRAY), u64(1)]))] },
      /a is an array of arrays/,
    ],
    [
      'an odd alignment',
      { entries: [entry('general.alignment', UINT32, u32(24))] },
      /alignment is 24, not a power of two/,
    ],
    ['an alignment of 0', { entries: [entry('general.alignment', UINT32, u32(0))] }, /alignment is 0, not a power/],
    ['a part of a model', { entries: [entry('split.count', UINT32, u32(3))] }, /one of 3 parts of a model; join them/],
    ['a tensor twice', { tensors: [f32('a', [4]), f32('a', [4], 32)] }, /it has tensor a twice/],
    ['no dimension', { tensors: [f32('a', [])] }, /tensor a has 0 dimensions/],
    ['five dimensions', { tensors: [f32('a', [1, 1, 1, 1, 1])] }, /tensor a has 5 dimensions/],
    [
      'an extent of 0',
      { tensors: [f32('a', [0, 4])] },
      /tensor a claims F32 \[4,0\], more or less than the file can hold/,
    ],
    [
      'extents beyond all files',
      { tensors: [f32('a', [1n << 40n, 1n << 40n])] },
      /tensor a claims F32 .* than the file/,
    ],
    [
      'rows that are no blocks',
      { tensors: [tensor('a', [33], 8, 0)] },
      /tensor a has rows of 33, not whole Q8_0 blocks/,
    ],
    ['an unknown type', { tensors: [tensor('a', [32], 99, 0)] }, /tensor a has type 99, which does not exist/],
    ['a place off the alignment', { tensors: [f32('a', [4], 4)] }, /tensor a begins at 4, no multiple of 32/],
    [
      'an overlap',
      { tensors: [f32('a', [12], 0), f32('b', [4], 32)] },
      /tensor b overlaps the one before it by 16 bytes/,
    ],
    ['a hole', { tensors: [f32('a', [4], 0), f32('b', [4], 64)] }, /a hole of 48 bytes before tensor b/],
    ['data missing at the end', { tensors: [f32('a', [20], 0)] }, /truncated: \d+ bytes of \d+/],
    ['a place outside of the file', { tensors: [f32('a', [4], 1n << 40n)] }, /a hole of 1,099,511,627,776 bytes/],
  ]
  it.each(cases)('%s', (_, file, message) => {
    writeRaw(file)
    const told = refusal(() => openGguf(path))
    expect(told).toMatch(message)
    expect(told).toContain(path)
    expect(told).not.toContain('\n')
  })

  it.each([
    [16, 'IQ2_XXS'],
    [34, 'TQ1_0'],
    [39, 'MXFP4'],
  ])('blocks of type %i are refused as %s, with what to use instead', (id, name) => {
    writeRaw({ tensors: [tensor('blk.0.attn_q.weight', [256], id, 0)] })
    expect(refusal(() => openGguf(path))).toMatch(
      new RegExp(`tensor blk.0.attn_q.weight is stored as ${name}, which is not supported; use .* F16, Q8_0, Q6_K`),
    )
  })

  it('a name with characters that would disturb a terminal is shown spelled out', () => {
    writeRaw({ tensors: [tensor('a\u001b[2J\n', [33], 8, 0)] })
    expect(refusal(() => openGguf(path))).toContain('a\\u001b[2J\\n')
  })

  it('an empty file, another file, a folder, and one that is not there', () => {
    writeFileSync(path, '')
    expect(refusal(() => openGguf(path))).toMatch(/the word GGUF takes 4 bytes/)
    writeFileSync(path, 'PK and so on, not what was hoped for')
    expect(refusal(() => openGguf(path))).toMatch(/not a GGUF file; give a model folder or a \.gguf file/)
    expect(refusal(() => openGguf(folder))).toMatch(/not a file/)
    expect(refusal(() => openGguf(join(folder, 'y.gguf')))).toMatch(/no such file.*holds x\.gguf/)
  })

  it('a file cut while it is open', () => {
    writeRaw({ tensors: [f32('a', [16])] })
    const file = openGguf(path)
    truncateSync(path, 64)
    expect(refusal(() => [...file.parts('a', 16)])).toMatch(/became shorter/)
    file.close()
    file.close()
    expect(() => [...file.parts('a', 16)]).toThrow(/after it was closed/)
  })
})

describe('a header is read as @huggingface/gguf reads it', () => {
  const real135M = '../shared/models/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct.Q4_1.gguf'
  const absolute = fromRoot(real135M)

  async function compare(file: string) {
    const ours = openGguf(file)
    const theirs = await gguf(file, { allowLocalFile: true })
    const { version, tensor_count, kv_count, ...metadata } = theirs.metadata as unknown as Record<string, unknown>
    const plain = (value: unknown) => (ArrayBuffer.isView(value) ? Array.from(value as Int32Array) : value)
    expect(Object.fromEntries([...ours.metadata].map(([key, value]) => [key, plain(value)]))).toEqual(metadata)
    expect([...ours.tensors].map(([name, { shape, offset }]) => [name, shape, offset])).toEqual(
      theirs.tensorInfos.map(({ name, shape, offset }) => [
        name,
        shape.map(Number).reverse(),
        Number(theirs.tensorDataOffset + offset),
      ]),
    )
    ours.close()
  }

  it('of a written file with every kind of value', async () => {
    const entries = {
      'general.architecture': text('llama'),
      'a.count': count(2 ** 31),
      'a.real': real(0.1),
      'a.flag': flag(true),
      'a.texts': texts(['', 'é', '🙂']),
      'a.reals': reals([0.5, -1e30]),
      'a.integers': integers([-1, 2 ** 31 - 1]),
    }
    const parts = () => [Float32Array.from({ length: 6 }, (_, i) => i)]
    writeGgufFile(path, entries, [
      { name: 'one', shape: [2, 3], type: 'F32', parts },
      { name: 'two', shape: [6], type: 'F16', parts },
    ])
    await compare(path)
    const file = openGguf(path)
    expect([...file.parts('two', 4)].map((part) => part.length)).toEqual([4, 2])
    file.close()
  })

  it('but for what it loses: a piece may begin with a byte order mark, and a file must not end within its header', async () => {
    writeGgufFile(path, { pieces: texts(['\ufeffmark']) }, [])
    const file = openGguf(path)
    expect(file.metadata.get('pieces')).toEqual(['\ufeffmark'])
    file.close()
    expect((await gguf(path, { allowLocalFile: true })).metadata).toMatchObject({ pieces: ['mark'] })
    writeRaw({ counts: [0, 4], data: 0 })
    expect(refusal(() => openGguf(path))).toMatch(/the file ends before it|more than \d+ bytes can hold/)
    expect((await gguf(path, { allowLocalFile: true })).metadata.kv_count).toBe(4n)
  })

  it.skipIf(!existsSync(absolute))(
    `of a real model${existsSync(absolute) ? '' : `: skipped, there is no ${real135M}`}`,
    () => compare(absolute),
  )
})
