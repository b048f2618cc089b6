import { describe, expect, it } from 'vitest'
import type { Metadata } from '../../weights/gguf/header.ts'
import { keysOf } from './keys.ts'
import { llama3Parameters, ropeEntries, ropeFactors, ropeParameters } from './rope.ts'

const keysFor = (entries: Record<string, number | string>): ReturnType<typeof keysOf> => {
  const metadata: Metadata = new Map(Object.entries(entries).map(([key, value]) => [`llama.rope.${key}`, value]))
  return keysOf(metadata, 'llama', 'x.gguf')
}

describe('Llama 3 scaling is found again from the factors of each pair', () => {
  const cases = [
    {
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
      theta: 500_000,
      headWidth: 128,
    },
    {
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
      theta: 500_000,
      headWidth: 64,
    },
    {
      factor: 4,
      low_freq_factor: 2,
      high_freq_factor: 7,
      original_max_position_embeddings: 8192,
      theta: 10_000,
      headWidth: 64,
    },
    {
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 32,
      theta: 10_000,
      headWidth: 8,
    },
    {
      factor: 8,
      low_freq_factor: 0.5,
      high_freq_factor: 60,
      original_max_position_embeddings: 512,
      theta: 100,
      headWidth: 16,
    },
  ]
  it.each(cases)('%o', ({ theta, headWidth, ...numbers }) => {
    const place = { headWidth, positions: 131_072 }
    const rule = { rope_type: 'llama3' as const, rope_theta: theta, ...numbers }
    const factors = ropeFactors({ rope_parameters: rule }, place, '')!
    const found = llama3Parameters(Float32Array.from(factors), { headWidth, theta, trained: 8192 })!
    expect(found.factor).toBe(Math.fround(Math.max(...factors)))
    const again = ropeFactors({ rope_parameters: { ...found, rope_theta: theta } }, place, '')!
    for (const [i, factor] of factors.entries()) expect(Math.abs(again[i] / factor - 1)).toBeLessThan(1e-5)
    const blended = factors.filter((factor) => factor > 1 && factor < numbers.factor).length
    if (numbers.original_max_position_embeddings !== 8192 || blended < 2) return // then several numbers make the same
    expect(found.low_freq_factor).toBeCloseTo(numbers.low_freq_factor, 3)
    expect(found.high_freq_factor).toBeCloseTo(numbers.high_freq_factor, 3)
  })

  it('and others are not taken for it', () => {
    const bent = Float32Array.from({ length: 32 }, (_, i) => 1 + 7 * (i / 31) ** 2)
    expect(llama3Parameters(bent, { headWidth: 64, theta: 500_000, trained: 8192 })).toBeUndefined()
    expect(llama3Parameters(bent, { headWidth: 32, theta: 500_000, trained: 8192 })).toBeUndefined()
    expect(() => ropeParameters(keysFor({ freq_base: 500_000 }), 64, bent)).toThrow(
      /rope_freqs\.weight is not supported/,
    )
  })
})

describe('keys of rotary scaling', () => {
  const settings = [
    { rope_type: 'default', rope_theta: 10_000 },
    { rope_type: 'linear', factor: 2.5, rope_theta: 1000 },
    { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 512, rope_theta: 1_000_000 },
  ] as const
  it.each(settings)('of $rope_type scaling come back as they were written', (rule) => {
    const defaults = { beta_fast: 32, beta_slow: 1, truncate: true }
    const config = { rope_parameters: rule.rope_type === 'yarn' ? { ...defaults, ...rule } : rule }
    const written = ropeEntries(config, 2048, '')
    const entries = Object.entries(written).map(([key, { value }]) => [
      key.replace('rope.', ''),
      value as number | string,
    ])
    expect(ropeParameters(keysFor(Object.fromEntries(entries)), 64, undefined)).toEqual(rule)
  })

  it.each([
    [
      { 'scaling.type': 'longrope' },
      /rotary scaling "longrope" is not supported; none, linear, yarn and that of Llama 3/,
    ],
    [{ dimension_count: 32 }, /llama\.rope\.dimension_count is 32, which is not supported/],
    [{ freq_base: 'fast' }, /llama\.rope\.freq_base is "fast", not a positive number/],
    [
      { 'scaling.type': 'yarn', 'scaling.original_context_length': 8, 'scaling.yarn_beta_fast': 16 },
      /yarn_beta_fast is 16/,
    ],
  ])('%o are refused by name', (entries, message) => {
    expect(() => ropeParameters(keysFor(entries as Record<string, number | string>), 64, undefined)).toThrow(message)
  })

  it('what GGUF has no key for is refused', () => {
    const dynamic = { rope_type: 'dynamic', factor: 2 } as const
    expect(() => ropeEntries({ rope_parameters: dynamic }, 64, 'c')).toThrow(/c: GGUF cannot hold .* scaling "dynamic"/)
    const yarn = { rope_type: 'yarn', factor: 2, beta_fast: 16, beta_slow: 1, truncate: true } as const
    expect(() => ropeEntries({ rope_parameters: yarn }, 64, 'c')).toThrow(/"yarn"; export to safetensors/)
    const half = { rope_parameters: { rope_type: 'default' as const, partial_rotary_factor: 0.5 } }
    expect(() => ropeFactors(half, { headWidth: 8, positions: 64 }, 'c')).toThrow(/whole heads must turn/)
  })

  it('scaling by a factor without a type is linear, as older files have it', () => {
    const linear = { rope_type: 'linear', factor: 4, rope_theta: 10_000 }
    expect(ropeParameters(keysFor({ scale_linear: 4 }), 64, undefined)).toEqual(linear)
    expect(ropeParameters(keysFor({ 'scaling.factor': 4 }), 64, undefined)).toEqual(linear)
    expect(ropeParameters(keysFor({ 'scaling.type': 'none', 'scaling.factor': 4 }), 64, undefined).rope_type).toBe(
      'default',
    )
  })
})
