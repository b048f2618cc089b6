import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { llama } from './llama.ts'
import { plainFrequencies, type RotaryConfig, rotaryConfig, rotaryOf } from './rotary.ts'

/** How a head of eight elements turns in 128 positions, as a config.json says it. */
const rotaryFor = (json: object) =>
  rotaryOf(z.object(rotaryConfig).parse(json) as RotaryConfig, { headWidth: 8, positions: 128 }, 'config.json')
const frequencies = (json: object) => rotaryFor(json).frequencies

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

  test('under dynamic scaling are the plain ones: nothing reaches beyond the configured positions', () => {
    expect(rotaryFor({ rope_scaling: { type: 'dynamic', factor: 2 } })).toEqual(rotaryFor({}))
  })

  test('under yarn scaling are slowed pair by pair, and what is turned is scaled', () => {
    // Pairs that turn 32 times and once in 128 positions: 4·log(128/64π)/log 10⁴ = −0.2 and 4·log(128/2π)/log 10⁴ = 1.3;
    // so pair 0 is kept, pair 1 half slowed, and all from 2 on slowed by 4. Scale: 0.1·log 4 + 1
    const yarn = { type: 'yarn', factor: 4, original_max_position_embeddings: 128 }
    const { frequencies, scale } = rotaryFor({ rope_scaling: yarn })
    close(frequencies, [1, 0.1 * (0.5 + 0.5 / 4), 0.0025, 0.00025])
    expect(scale).toBeCloseTo(1.1386294, 7)
    expect(rotaryFor({ rope_scaling: { ...yarn, attention_factor: 0.7 } }).scale).toBe(0.7)
    const { original_max_position_embeddings: _, ...silent } = yarn
    expect(rotaryFor({ rope_scaling: silent })).toEqual(rotaryFor({ rope_scaling: yarn })) // it is 128 here
  })

  test('are those of the first elements only where part of a head turns', () => {
    close(frequencies({ partial_rotary_factor: 0.5 }), [1, 0.01])
    close(frequencies({ rope_parameters: { partial_rotary_factor: 0.25 } }), [1])
    close(plainFrequencies({ headWidth: 8, turned: 4, theta: 16 }, ''), [1, 0.25])
  })

  test.each([0, 3, 10])('are refused for %i of 8 elements, which make no pairs of a head', (turned) => {
    expect(() => plainFrequencies({ headWidth: 8, turned }, 'here')).toThrow(`cannot turn ${turned} of a head's 8`)
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
    const message = refusal({ rope_scaling: { type: 'longrope', short_factor: [1], long_factor: [2] } })
    expect(message).toContain('here/config.json')
    expect(message).toContain('rope_scaling.rope_type: rotary scaling "longrope" is not supported')
    for (const known of ['default', 'linear', 'dynamic', 'llama3', 'yarn']) expect(message).toContain(known)
  })

  test('with half of a scaling is refused by every key that is missing', () => {
    const message = refusal({ rope_scaling: { rope_type: 'llama3', factor: 4, high_freq_factor: 4 } })
    expect(message).toContain('rope_scaling.low_freq_factor')
    expect(message).toContain('rope_scaling.original_max_position_embeddings')
    expect(message).not.toContain('rope_scaling.high_freq_factor')
  })

  test.each([
    [
      'of another kind of model',
      { rope_parameters: { rope_type: 'default', mrope_section: [1, 1, 2] } },
      'mrope_section',
    ],
    ['of each kind of layer', { rope_parameters: { full_attention: { rope_theta: 1e6 } } }, 'full_attention'],
  ])('with rotary settings %s is refused by their name', (_, extra, name) => {
    expect(refusal(extra)).toContain(name)
  })

  test('of a Llama that turns part of its heads is refused', () => {
    expect(refusal({ partial_rotary_factor: 0.5 })).toContain('partial_rotary_factor: in llama models whole heads turn')
  })
})

const round = (value: number, digits: number) => Math.round(value * 10 ** digits) / 10 ** digits
