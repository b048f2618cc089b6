import { describe, expect, test } from 'vitest'
import { UserError } from '../errors.ts'
import { seededRandom } from '../random.ts'
import { chooseTargets, initialAdapter, isTarget, type LinearLayer } from './lora.ts'

const layer = (module: string, inputs = 4, outputs = 8): LinearLayer => ({
  module,
  inputs,
  outputs,
  inputsFirst: false,
})
const neox = [0, 1].flatMap((i) =>
  ['attention.query_key_value', 'attention.dense', 'mlp.dense_h_to_4h', 'mlp.dense_4h_to_h'].map((name) =>
    layer(`gpt_neox.layers.${i}.${name}`),
  ),
)
const adapted = (targets: string | readonly string[]) => {
  const chosen = chooseTargets(targets, neox)
  return neox.map(({ module }) => module).filter((module) => isTarget({ targets: chosen }, module))
}
const complaint = (targets: string | readonly string[]) => {
  try {
    chooseTargets(targets, neox)
  } catch (error) {
    expect(error).toBeInstanceOf(UserError)
    return (error as UserError).message
  }
  throw new Error('nothing was refused')
}

describe('targets choose the layers that PEFT would adapt', () => {
  test('by last parts of names, which begin after a dot: "dense" is not "dense_h_to_4h"', () => {
    expect(adapted(['dense'])).toEqual(['gpt_neox.layers.0.attention.dense', 'gpt_neox.layers.1.attention.dense'])
    expect(adapted(['attention.dense', 'query_key_value'])).toHaveLength(4)
  })

  test('by whole names', () => {
    expect(adapted(['gpt_neox.layers.1.mlp.dense_4h_to_h'])).toEqual(['gpt_neox.layers.1.mlp.dense_4h_to_h'])
  })

  test('by "all-linear", every linear layer', () => {
    expect(adapted('all-linear')).toEqual(neox.map(({ module }) => module))
  })

  test('by a pattern that matches whole names, not parts of them', () => {
    expect(adapted(String.raw`.*\.1\.mlp\.dense_(4h_to_h|h_to_4h)`)).toEqual([
      'gpt_neox.layers.1.mlp.dense_h_to_4h',
      'gpt_neox.layers.1.mlp.dense_4h_to_h',
    ])
    expect(adapted('a|.*dense|b')).toHaveLength(2)
  })
})

describe('targets are refused that', () => {
  test('no layer has, with the nearest that there is and all others', () => {
    expect(complaint(['dense', 'query_key_valve'])).toBe(
      'lora.targets: the model has no linear layer query_key_valve; did you mean query_key_value?; ' +
        'choose among query_key_value, dense, dense_h_to_4h, dense_4h_to_h',
    )
    expect(complaint(['layernorm'])).not.toContain('did you mean')
  })

  test('are a pattern of parts of names, showing a whole name', () => {
    expect(complaint('dense')).toMatch(
      /^lora\.targets: the pattern dense matches no linear layer's whole name, such as gpt_neox\.layers\.0\.attention\.query_key_value; .*give a list of query_key_value, dense,/,
    )
  })

  test.each(['dense(', String.raw`.*\Z`])('are no pattern: %s', (pattern) => {
    expect(complaint(pattern)).toContain('lora.targets: not a pattern that can be read')
  })
})

test('a fresh adapter changes nothing, and a layer starts the same whichever others are adapted', () => {
  const start = (targets: readonly string[]) => initialAdapter({ rank: 2, alpha: 4, targets }, neox, seededRandom(3))
  const [one, all] = [start(['dense']), start(['dense', 'query_key_value'])]
  const [a, b] = ['A', 'B'].map((side) => `gpt_neox.layers.0.attention.dense.lora_${side}.weight`)
  expect(Object.keys(one.weights)).toHaveLength(4)
  expect(one.weights[a].shape).toEqual([2, 4])
  expect(one.weights[a]).toEqual(all.weights[a])
  expect(Array.from(one.weights[a].data, Number).every((value) => value !== 0 && Math.abs(value) <= 0.5)).toBe(true)
  expect(one.weights[b]).toEqual({ dtype: 'float32', shape: [8, 2], data: new Float32Array(16) })
})
