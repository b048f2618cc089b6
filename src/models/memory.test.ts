import { describe, expect, test } from 'vitest'
import { recomputations } from './architecture.ts'
import { architectures } from './architectures.ts'
import { describeModel } from './language-model.ts'
import { expectedBytes, ORDINARY_WORK, planMemory, promptBytesWithin, readPromptBytes, storedBytes } from './memory.ts'
import { PROMPT_BYTES } from './prompt-cache.ts'

const embedded = describeModel(new URL('../../models/stories260K', import.meta.url).pathname)
/** GPT-2 XL's shape. */
const large = architectures.gpt2.describe(
  { model_type: 'gpt2', vocab_size: 50_257, n_positions: 1024, n_embd: 1600, n_layer: 48, n_head: 25 },
  'config.json',
)
const plan = (availableBytes: number, storage?: 'float32' | 'int4') =>
  planMemory(large, { work: ORDINARY_WORK, lanes: 1, storage, availableBytes })

test('weights take what their types take', () => {
  const parameters = Object.values(embedded.weights).reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0)
  expect(storedBytes(embedded, 'float32')).toBe(4 * parameters)
  const vectors = Object.values(embedded.weights).filter(({ length }) => length === 1)
  const inVectors = vectors.reduce((sum, [length]) => sum + length, 0)
  expect(storedBytes(embedded, 'float16')).toBe(2 * (parameters + inVectors)) // vectors stay float32
})

describe('a plan', () => {
  test('takes float32 where everything fits', () => {
    expect(plan(1e12)).toMatchObject({ storage: 'float32', recompute: 'nothing' })
  })

  test('gives up bits and time, no more than needed, as memory shrinks', () => {
    const ways = [30e9, 14e9, 10e9, 7.5e9].map((bytes) => plan(bytes))
    for (const way of ways) expect(way.expectedBytes).toBeLessThanOrEqual(way.availableBytes)
    const sizes = ways.map(({ expectedBytes }) => expectedBytes)
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a))
    expect(new Set(ways.map(({ storage, recompute }) => `${storage} ${recompute}`)).size).toBeGreaterThan(2)
  })

  test('keeps the storage that the user asks for', () => {
    expect(plan(14e9, 'float32')).toMatchObject({ storage: 'float32', recompute: 'cheap' })
  })

  test('that cannot be is refused with what would need less', () => {
    expect(() => plan(8.5e9, 'float32')).toThrow(/with float32 weights .* needs about .* choose --weights float16/)
    expect(() => plan(1e9)).toThrow(/with int4 weights .* 1\.0 GB are available; choose fewer samplesPerPrompt/)
  })
})

test('computing twice needs less the more of it there is', () => {
  const sizes = recomputations.map((recompute) =>
    expectedBytes(large, { storage: 'float16', recompute }, ORDINARY_WORK),
  )
  expect(sizes).toEqual(sizes.toSorted((a, b) => b - a))
})

test('int8 copies are counted: a byte for every weight of a linear layer and of the head, and scales', () => {
  const held = { storage: 'float32', recompute: 'nothing' } as const
  const bytes = (...int8: ('rollouts' | 'scoring' | 'learning')[]) =>
    expectedBytes(large, held, { ...ORDINARY_WORK, int8 }) - expectedBytes(large, held, ORDINARY_WORK)
  const linears = 48 * 12 * 1600 ** 2
  const [outputs, inputs] = [48 * 9 * 1600, 48 * 7 * 1600] // of linear layers, all together
  const copy = linears + 4 * outputs + 50_257 * (1600 + 4)
  expect(bytes('rollouts')).toBeCloseTo(copy, 0)
  expect(bytes('scoring')).toBeCloseTo(copy, 0)
  expect(bytes('learning')).toBeCloseTo(copy + linears + 4 * inputs, 0)
  // one that is part of the sampler, one that scoring and learning share, and its transpose
  expect(bytes('rollouts', 'scoring', 'learning')).toBeCloseTo(2 * copy + linears + 4 * inputs, 0)
})

test('training every weight is counted: the weights, their gradients, moments and copies', () => {
  const held = { storage: 'float16', recompute: 'layers' } as const
  const parameters = storedBytes(large, 'float32') / 4
  const bytes = (trained: number) => expectedBytes(large, held, { ...ORDINARY_WORK, trained })
  expect((bytes(parameters) - bytes(0)) / (4 * parameters)).toBeCloseTo(9, 0) // and all logits of a head that is trained
  expect(() =>
    planMemory(large, { work: { ...ORDINARY_WORK, trained: parameters }, lanes: 1, availableBytes: 24e9 }),
  ).toThrow(/are available; choose/)
})

test('prompts that were read get what a step leaves, and no more than is asked for', () => {
  const held = { storage: 'float16', recompute: 'layers' } as const
  const step = expectedBytes(large, held, ORDINARY_WORK)
  const given = (availableBytes: number, most?: number) =>
    promptBytesWithin(large, held, { work: ORDINARY_WORK, lanes: 1, availableBytes }, most)
  expect(given(2 * step)).toBe(PROMPT_BYTES)
  expect(given(step + 5e6)).toBe(5e6)
  expect(given(step - 1)).toBe(0)
  expect(given(2 * step, 0)).toBe(0)
  // keys and values of 25 heads of 64 in 48 layers, and a hidden state of 1600
  expect(readPromptBytes(large.dimensions, { ...ORDINARY_WORK, prompts: 3, promptTokens: 10 })).toBe(
    3 * 10 * 4 * (2 * 48 * 25 * 64 + 1600),
  )
})
