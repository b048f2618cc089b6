import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { llama } from './llama.ts'
import { type RotaryConfig, rotaryConfig, rotaryFrequencies, rotaryTables } from './rotary.ts'

/** Frequencies of a head of eight elements, as a config.json says them. */
const frequencies = (json: object) => rotaryFrequencies(8, z.object(rotaryConfig).parse(json) as RotaryConfig)

function close(actual: readonly number[], wanted: readonly number[]) {
  expect(actual).toHaveLength(wanted.length)
  for (const [i, value] of wanted.entries()) expect(actual[i]).toBeCloseTo(value, 12)
}

describe('frequencies', () => {
  test('fall from 1 by powers of theta, which is 10,000 unless the config says otherwise', () => {
    close(frequencies({}), [1, 0.1, 0.01, 0.001])
    close(frequencies({ rope_theta: 16 }), [1, 0.5, 0.25, 0.125])
  })

  test('are slowed by one factor under linear scaling', () => {
    close(frequencies({ rope_scaling: { rope_type: 'linear', factor: 4 } }), [0.25, 0.025, 0.0025, 0.00025])
  })

  test('under llama3 scaling are kept where fast, slowed where slow and blended between', () => {
    const scaling = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 }
    // Turns in the 128 positions of the first training: 128·f/2π = 20.4 (kept), 2.037 (a share of (2.037 − 1)/(4 − 1) =
    // 0.34573 is kept, the rest slowed: 0.1·(0.34573 + 0.65427/8)), 0.2 and 0.02 (slowed)
    close(
      frequencies({ rope_parameters: { ...scaling, original_max_position_embeddings: 128 } }).map((f) => round(f, 7)),
      [1, 0.0427512, 0.00125, 0.000125],
    )
    // With 32 positions the second turns half, which is slow as well
    close(
      frequencies({ rope_parameters: { ...scaling, original_max_position_embeddings: 32 } }),
      [1, 0.0125, 0.00125, 0.000125],
    )
  })

  test.each([
    [
      'theta beside the scaling or within it',
      { rope_theta: 500, rope_scaling: { rope_type: 'linear', factor: 2 } },
      { rope_parameters: { rope_theta: 500, rope_type: 'linear', factor: 2 } },
    ],
    [
      '"type" for "rope_type"',
      { rope_scaling: { type: 'linear', factor: 2 } },
      { rope_scaling: { rope_type: 'linear', factor: 2 } },
    ],
    ['no scaling as null, as an empty object or not at all', { rope_scaling: null }, { rope_parameters: {} }],
    [
      'both spellings of the kind at once',
      { rope_scaling: { type: 'linear', rope_type: 'linear', factor: 2 } },
      { rope_scaling: { type: 'linear', factor: 2 } },
    ],
  ])('read older and newer files alike: %s', (_, older, newer) => {
    expect(frequencies(older)).toEqual(frequencies(newer))
    expect(frequencies(older)).toHaveLength(4)
  })
})

describe('a config.json', () => {
  const config = {
    vocab_size: 64,
    hidden_size: 16,
    intermediate_size: 32,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    max_position_embeddings: 32,
  }
  const refusal = (extra: object) => {
    try {
      llama.describe({ ...config, ...extra }, 'here/config.json')
    } catch (error) {
      expect(error).toBeInstanceOf(UserError)
      return (error as UserError).message
    }
    throw new Error('it was accepted')
  }

  test('with a scaling that is not supported is refused, with those that are', () => {
    const message = refusal({ rope_scaling: { type: 'yarn', factor: 4 } })
    expect(message).toContain('here/config.json')
    expect(message).toContain('rope_scaling')
    for (const known of ['default', 'linear', 'llama3']) expect(message).toContain(known)
  })

  test('with half of a scaling is refused by every key that is missing', () => {
    const message = refusal({ rope_scaling: { rope_type: 'llama3', factor: 4, high_freq_factor: 4 } })
    expect(message).toContain('rope_scaling.low_freq_factor')
    expect(message).toContain('rope_scaling.original_max_position_embeddings')
    expect(message).not.toContain('rope_scaling.high_freq_factor')
  })

  test('of the older form reaches the tables of the model', () => {
    const { tables } = llama.describe({ ...config, rope_theta: 100, rope_scaling: { type: 'linear', factor: 2 } }, '')
    const { shape, data } = tables['rotary.sin']
    expect(shape).toEqual([32, 4])
    expect(data[3 * 4 + 1]).toBeCloseTo(Math.sin((3 * 100 ** -0.25) / 2), 6)
  })
})

test('tables hold cos and sin of position times frequency, a row a position', () => {
  const { 'rotary.cos': cos, 'rotary.sin': sin } = rotaryTables([1, 0.25], 3)
  const angles = [0, 0, 1, 0.25, 2, 0.5]
  expect(cos.shape).toEqual([3, 2])
  expect(sin.shape).toEqual([3, 2])
  expect(cos.data).toEqual(Float32Array.from(angles, Math.cos))
  expect(sin.data).toEqual(Float32Array.from(angles, Math.sin))
})

const round = (value: number, digits: number) => Math.round(value * 10 ** digits) / 10 ** digits
