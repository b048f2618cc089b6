import { describe, expect, test } from 'vitest'
import { type Pack, packTokens } from './packing.ts'

/** The arrays of a pack as plain numbers, by name. */
const arrays = (pack: Pack) =>
  Object.fromEntries(
    Object.entries(packTokens(pack).inputs).map(([name, { data, shape }]) => [
      name,
      { shape, values: Array.from(data, Number) },
    ]),
  )

const prompt = [50, 51, 52]
const latents = [[10, 11], [], [20, 21, 22]]

test('a prompt stands once, and latents follow it without padding', () => {
  expect(arrays({ prompt, latents })).toEqual({
    promptTokens: { shape: [3], values: [50, 51, 52] },
    latentTokens: { shape: [5], values: [10, 11, 20, 21, 22] },
    latentPositions: { shape: [5], values: [3, 4, 3, 4, 5] },
    latentRows: { shape: [3, 3], values: [0, 1, -1, -1, -1, -1, 2, 3, 4] },
    latentPlaces: { shape: [5], values: [0, 1, 6, 7, 8] },
  })
})

test('branches follow after the latents, each at the positions after its prefix', () => {
  const branches = [
    { latent: 2, prefix: 1, tokens: [30, 31] },
    { latent: 0, prefix: 2, tokens: [32] },
    { latent: 1, prefix: 0, tokens: [33, 34] },
  ]
  const { branchTokens, branchPositions, branchRows, branchPlaces, branchContext } = arrays({
    prompt,
    latents,
    branches,
  })
  expect(branchTokens).toEqual({ shape: [5], values: [30, 31, 32, 33, 34] })
  expect(branchPositions).toEqual({ shape: [5], values: [4, 5, 5, 3, 4] })
  expect(branchRows).toEqual({ shape: [3, 2], values: [0, 1, 2, -1, 3, 4] })
  expect(branchPlaces).toEqual({ shape: [5], values: [0, 1, 2, 4, 5] })
  // each branch sees its own prefix: the first token of the third latent, both of the first, none
  expect(branchContext).toEqual({ shape: [3, 2], values: [2, -1, 0, 1, -1, -1] })
})

test('rows and places are inverse to each other', () => {
  const { latentRows, latentPlaces } = arrays({ prompt, latents: [[1], [2, 3, 4], [], [5, 6]] })
  for (const [token, place] of latentPlaces.values.entries()) expect(latentRows.values[place]).toBe(token)
  expect(latentRows.values.filter((token) => token >= 0)).toHaveLength(latentPlaces.values.length)
})

describe('the packed place', () => {
  const branches = [
    { latent: 2, prefix: 1, tokens: [30, 31] },
    { latent: 0, prefix: 0, tokens: [32] },
  ]
  const { inputs, latentToken, branchToken } = packTokens({ prompt, latents, branches })
  const packed = ['promptTokens', 'latentTokens', 'branchTokens'].flatMap((name) =>
    Array.from(inputs[name].data, Number),
  )

  test('of every token holds that token', () => {
    for (const [n, latent] of latents.entries())
      for (const [i, token] of latent.entries()) expect(packed[latentToken(n, i)]).toBe(token)
    for (const [b, { tokens }] of branches.entries())
      for (const [i, token] of tokens.entries()) expect(packed[branchToken(b, i)]).toBe(token)
  })

  test('before the first token of a latent is the end of the prompt', () => {
    for (const n of [0, 1, 2]) expect(packed[latentToken(n, -1)]).toBe(52)
  })

  test('before the first token of a branch is the end of its prefix', () => {
    expect(packed[branchToken(0, -1)]).toBe(20)
    expect(packed[branchToken(1, -1)]).toBe(52)
  })
})

test('where every latent is empty, one token that belongs to none stands in', () => {
  const pack = { prompt, latents: [[], []], branches: [{ latent: 1, prefix: 0, tokens: [30] }] }
  const { latentTokens, latentRows, branchContext, branchPositions } = arrays(pack)
  expect(latentTokens.shape).toEqual([1])
  expect(latentRows.shape).toEqual([2, 1])
  expect(branchContext).toEqual({ shape: [1, 1], values: [-1] })
  expect(branchPositions.values).toEqual([3])
  expect(packTokens(pack).branchToken(0, 0)).toBe(4) // after three of the prompt and the one that stands in
})

test('an empty prompt is refused', () => {
  expect(() => packTokens({ prompt: [], latents })).toThrow('a prompt needs at least one token')
})
