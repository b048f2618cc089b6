import { expect, test } from 'vitest'
import { float32, type HostTensor, int64 } from './host-tensor.ts'
import { checkInputs, type Program } from './session.ts'

const program: Program = {
  name: 'some step',
  bytes: new Uint8Array(),
  inputs: {
    x: { dtype: 'float32', shape: ['tokens', 4] },
    index: { dtype: 'int64', shape: ['tokens'] },
    both: { dtype: 'float32', shape: ['prompt+tokens'] },
  },
  outputs: [],
}
const good = { x: float32([3, 4]), index: int64([3], [0, 1, 2]), both: float32([5]) }

test('inputs that fit are accepted, and those that the program does not read are left aside', () => {
  expect(() => checkInputs(program, good)).not.toThrow()
  expect(() => checkInputs(program, { ...good, other: float32([9]) })).not.toThrow()
})

test.each([
  ['a missing input', { index: undefined }, 'some step, input "index": missing'],
  ['another type', { x: int64([3, 4], [0]) }, 'some step, input "x": int64 [3,4] given, float32 [tokens,4] expected'],
  [
    'another number of axes',
    { x: float32([12]) },
    'some step, input "x": float32 [12] given, float32 [tokens,4] expected',
  ],
  [
    'another extent',
    { x: float32([3, 5]) },
    'some step, input "x": float32 [3,5] given, float32 [tokens,4] expected (4 = 4)',
  ],
  [
    'a named size that another input contradicts',
    { index: int64([2], [0, 1]) },
    'some step, input "index": int64 [2] given, int64 [tokens] expected (tokens = 3)',
  ],
])('%s is refused by program, input and what was expected', (_, change, message) => {
  expect(() => checkInputs(program, { ...good, ...change } as Record<string, HostTensor>)).toThrow(new Error(message))
})

test('a size that is a sum of named ones is left to the runtime', () => {
  expect(() => checkInputs(program, { ...good, both: float32([99]) })).not.toThrow()
})
