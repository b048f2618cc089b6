import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { UserError } from '../errors.ts'
import { bool, float32, int64, type NamedTensors } from '../runtime/host-tensor.ts'
import { narrowToBfloat16 } from './dtypes.ts'
import { openSafetensors, writeSafetensors } from './safetensors.ts'
import { MAX_HEADER_BYTES } from './safetensors-header.ts'

const folder = mkdtempSync(join(tmpdir(), 'safetensors-'))
const path = join(folder, 'x.safetensors')
afterAll(() => rmSync(folder, { recursive: true }))

/** A file as anyone could make it: this header, then these data. */
function writeRaw(header: unknown, data: Uint8Array, claimedLength?: bigint): void {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const prefix = Buffer.alloc(8)
  prefix.writeBigUInt64LE(claimedLength ?? BigInt(json.length))
  writeFileSync(path, Buffer.concat([prefix, json, data]))
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

describe('what is written', () => {
  const tensors: NamedTensors = {
    flags: bool([3], [true, false, true]),
    '0': float32([2, 2], [1, -0, Number.NaN, Number.NEGATIVE_INFINITY]),
    'a.double': { dtype: 'float64', shape: [1], data: Float64Array.of(Math.PI) },
    scalar: float32([], [7]),
    half: { dtype: 'float16', shape: [2], data: Uint16Array.of(0x3c00, 0x0001) },
    tokens: int64([2], [5, -6]),
    counts: { dtype: 'int32', shape: [1], data: Int32Array.of(-9) },
    bytes: { dtype: 'uint8', shape: [3], data: Uint8Array.of(0, 128, 255) },
    nothing: float32([0, 4]),
  }

  it('comes back bit for bit, in its own type', () => {
    writeSafetensors(path, tensors, { step: '12' })
    const file = openSafetensors(path)
    expect(file.metadata).toEqual({ step: '12' })
    expect(Object.fromEntries([...file.entries.keys()].map((name) => [name, file.readStored(name)]))).toEqual(tensors)
    file.close()
  })

  it('is read for computing with every floating-point type as float32', () => {
    const file = openSafetensors(path)
    expect(file.read('a.double')).toEqual(float32([1], [Math.PI]))
    expect(file.read('half')).toEqual(float32([2], [1, 2 ** -24]))
    expect(file.read('tokens')).toEqual(tensors.tokens)
    file.close()
  })

  it('begins every tensor on a boundary of its type, and depends on the tensors only', () => {
    const file = openSafetensors(path)
    for (const [name, { offset }] of file.entries) expect(offset % tensors[name].data.BYTES_PER_ELEMENT).toBe(0)
    file.close()
    const other = join(folder, 'y.safetensors')
    writeSafetensors(other, Object.fromEntries(Object.entries(tensors).reverse()), { step: '12' })
    expect([...openSafetensors(other).entries]).toEqual([...file.entries])
  })

  it('leaves no partial file beside it', () => {
    expect(readdirSync(folder).sort()).toEqual(['x.safetensors', 'y.safetensors'])
  })
})

describe('bfloat16', () => {
  it('is widened exactly, also over several chunks', () => {
    const values = Float32Array.from({ length: 9_000_001 }, (_, i) => (i % 251) - 125)
    const bits = narrowToBfloat16(values)
    const entry = { dtype: 'BF16', shape: [values.length], data_offsets: [0, bits.byteLength] }
    writeRaw({ w: entry }, new Uint8Array(bits.buffer))
    const file = openSafetensors(path)
    expect(Buffer.compare(Buffer.from(file.read('w').data.buffer), Buffer.from(values.buffer))).toBe(0)
    expect(refusal(() => file.readStored('w'))).toMatch(/tensor w: type BF16 is not supported/)
    file.close()
  })
})

describe('a damaged file is refused by name', () => {
  const f32 = (begin: number, end: number, ...shape: unknown[]) => ({ dtype: 'F32', shape, data_offsets: [begin, end] })
  const data = new Uint8Array(16)
  const cases: [name: string, header: unknown, message: RegExp][] = [
    ['an unknown type', { w: { dtype: 'F31', shape: [4], data_offsets: [0, 16] } }, /tensor w: dtype: .*"F32"/],
    ['a negative extent', { w: f32(0, 16, -4) }, /tensor w: shape\.0: /],
    ['a fractional extent', { w: f32(0, 16, 1.5) }, /tensor w: shape\.0: /],
    ['a place of the wrong size', { w: f32(0, 16, 3) }, /tensor w: F32 \[3\] takes 12 bytes, its place has 16/],
    ['a place that ends before it begins', { w: f32(16, 0, 4) }, /tensor w: .* its place has -16/],
    ['an extent beyond all files', { w: f32(0, 16, 2 ** 52, 2 ** 52) }, /tensor w: F32 .* its place has 16/],
    ['an overlap', { a: f32(0, 12, 3), b: f32(8, 16, 2) }, /tensor b overlaps the one before it by 4 bytes/],
    ['a hole', { a: f32(0, 4, 1), b: f32(8, 16, 2) }, /a hole of 4 bytes before tensor b/],
    ['data missing at the end', { a: f32(0, 32, 8) }, /truncated: \d+ bytes of \d+/],
    ['data left over', { a: f32(0, 12, 3) }, /4 bytes follow the last tensor/],
    ['an unknown key', { a: { ...f32(0, 16, 4), stride: 1 } }, /tensor a: .*stride/],
    ['metadata that are no text', { __metadata__: { a: 1 }, a: f32(0, 16, 4) }, /metadata/],
    ['a header that is a list', [], /header is not a JSON object/],
    ['a header that is not JSON', '{"a":', /header is not a JSON object/],
  ]
  it.each(cases)('%s', (_, header, message) => {
    writeRaw(header, data)
    const told = refusal(() => openSafetensors(path))
    expect(told).toMatch(message)
    expect(told).toContain(path)
  })

  it('a header longer than the file, or than any real header', () => {
    writeRaw({}, data, 2n ** 63n)
    expect(refusal(() => openSafetensors(path))).toMatch(/header claims 9,223,372,036,854,775,808 bytes/)
    writeRaw({}, data, 0n)
    expect(refusal(() => openSafetensors(path))).toMatch(/header claims 0 bytes/)
    writeRaw({}, new Uint8Array(0), BigInt(MAX_HEADER_BYTES + 1))
    truncateSync(path, MAX_HEADER_BYTES + 100) // sparse: takes no disk
    expect(refusal(() => openSafetensors(path))).toMatch(/no header has more than 100,000,000/)
  })

  it('an empty file, a folder, and one that is not there', () => {
    writeFileSync(path, '')
    expect(refusal(() => openSafetensors(path))).toMatch(/only 0 bytes/)
    expect(refusal(() => openSafetensors(folder))).toMatch(/not a file/)
    expect(refusal(() => openSafetensors(join(folder, 'z.safetensors')))).toMatch(/no such file.*holds.*y\.safetensors/)
  })

  it('a file cut while it is open', () => {
    writeSafetensors(path, { w: float32([100]) })
    const file = openSafetensors(path)
    truncateSync(path, 200)
    expect(refusal(() => file.read('w'))).toMatch(/became shorter/)
    file.close()
  })
})

describe('an open file', () => {
  it('offers the nearest name for one that does not exist, and reads nothing after it was closed', () => {
    writeSafetensors(path, { 'wte.weight': float32([1]), 'wpe.weight': float32([1]) })
    const file = openSafetensors(path)
    expect(refusal(() => file.read('wte.weights'))).toMatch(/no tensor wte\.weights; did you mean wte\.weight/)
    file.close()
    file.close()
    expect(() => file.read('wte.weight')).toThrow(/was closed/)
  })
})
