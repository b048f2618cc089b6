import { describe, expect, test } from 'vitest'
import { packTree, type Tree } from './prefix-tree.ts'

/** The arrays of a tree as plain numbers, by name. */
const arrays = (tree: Tree) =>
  Object.fromEntries(
    Object.entries(packTree(tree).inputs).map(([name, { data, shape }]) => [
      name,
      { shape, values: Array.from(data, Number) },
    ]),
  )

const prompt = [50, 51, 52]

test('every distinct prefix is one token: a latent goes on where its path leaves those of earlier ones', () => {
  const latents = [[10, 11, 12], [10, 20], [], [10, 11, 12, 13], [30], [10, 20]]
  const { latentTokens, latentPositions } = arrays({ prompt, latents })
  expect(latentTokens).toEqual({ shape: [6], values: [10, 11, 12, 20, 13, 30] })
  expect(latentPositions).toEqual({ shape: [6], values: [3, 4, 5, 4, 6, 3] })
})

test('latents that share nothing are a row each', () => {
  const latents = [
    [10, 11],
    [20, 21, 22],
  ]
  expect(arrays({ prompt, latents })).toEqual({
    promptTokens: { shape: [3], values: [50, 51, 52] },
    latentTokens: { shape: [5], values: [10, 11, 20, 21, 22] },
    latentPositions: { shape: [5], values: [3, 4, 3, 4, 5] },
    latentRows: { shape: [2, 3], values: [0, 1, -1, 2, 3, 4] },
    latentPlaces: { shape: [5], values: [0, 1, 3, 4, 5] },
    latentContext: { shape: [2, 1], values: [-1, -1] },
  })
})

test('the beginning that latents share is cut where they part, so that no row is padded for it', () => {
  const start = [10, 11, 12, 13]
  const latents = Array.from({ length: 6 }, (_, n) => [...start, 20 + n, 30 + n])
  const { latentTokens, latentRows, latentContext } = arrays({ prompt, latents })
  expect(latentTokens.shape).toEqual([4 + 6 * 2])
  expect(latentRows).toEqual({ shape: [8, 2], values: Array.from({ length: 16 }, (_, token) => token) })
  expect(latentContext).toEqual({
    shape: [8, 4],
    values: [[-1, -1, -1, -1], [0, 1, -1, -1], ...latents.map(() => [0, 1, 2, 3])].flat(),
  })
})

test.each([
  [[[1, 2, 3, 4, 5, 6], [1, 2, 7], [1, 2, 3, 8, 9], [4], [4, 4, 4, 4]]],
  [[[5], [5, 5], [5, 5, 5], [5, 5, 5, 5], [5, 6, 5, 6, 5, 6, 5, 6, 5, 6]]],
  [Array.from({ length: 20 }, (_, n) => Array.from({ length: 1 + (n % 7) }, (_, i) => (n * i) % 3))],
])('however it is cut, each token follows its own ancestors in their order', (latents) => {
  const { latentRows, latentContext, latentTokens } = arrays({ prompt, latents })
  const { latentToken } = packTree({ prompt, latents })
  const [rows, length] = latentRows.shape
  const ancestors = new Map<number, number[]>()
  for (let row = 0; row < rows; row++) {
    const width = latentContext.shape[1]
    const context = latentContext.values.slice(row * width, (row + 1) * width).filter((token) => token >= 0)
    const own = latentRows.values.slice(row * length, (row + 1) * length).filter((token) => token >= 0)
    for (const [i, token] of own.entries()) ancestors.set(token, [...context, ...own.slice(0, i)])
  }
  for (const [n, latent] of latents.entries())
    for (const [i, token] of latent.entries()) {
      const packed = latentToken(n, i) - prompt.length
      expect(latentTokens.values[packed]).toBe(token)
      expect(ancestors.get(packed)).toEqual(latent.slice(0, i).map((_, k) => latentToken(n, k) - prompt.length))
    }
})

test('equal tokens after different prefixes are different tokens', () => {
  const { latentTokens } = arrays({
    prompt,
    latents: [
      [10, 11],
      [11, 11],
    ],
  })
  expect(latentTokens.values).toEqual([10, 11, 11, 11])
})

test('branches follow the paths of their latents, also through tokens that another latent brought', () => {
  const tree = {
    prompt,
    latents: [[10, 11], [10, 20, 21], []],
    branches: [
      { latent: 1, prefix: 2, tokens: [60, 61] },
      { latent: 0, prefix: 2, tokens: [62] },
      { latent: 2, prefix: 0, tokens: [63, 64] },
    ],
  }
  const { branchTokens, branchPositions, branchRows, branchPlaces, branchContext } = arrays(tree)
  expect(branchTokens).toEqual({ shape: [5], values: [60, 61, 62, 63, 64] })
  expect(branchPositions).toEqual({ shape: [5], values: [5, 6, 5, 3, 4] })
  expect(branchRows).toEqual({ shape: [3, 2], values: [0, 1, 2, -1, 3, 4] })
  expect(branchPlaces).toEqual({ shape: [5], values: [0, 1, 2, 4, 5] })
  expect(branchContext).toEqual({ shape: [3, 2], values: [0, 2, 0, 1, -1, -1] })
})

test('a tree without branches has no arrays for them', () => {
  expect(
    Object.keys(arrays({ prompt, latents: [[1]], branches: [] })).filter((name) => name.startsWith('branch')),
  ).toEqual([])
})

describe('the packed place', () => {
  const latents = [[10, 11], [10, 20], []]
  const branches = [
    { latent: 1, prefix: 1, tokens: [60, 61] },
    { latent: 2, prefix: 0, tokens: [62] },
  ]
  const { inputs, latentToken, branchToken } = packTree({ prompt, latents, branches })
  const packed = ['promptTokens', 'latentTokens', 'branchTokens'].flatMap((name) =>
    Array.from(inputs[name].data, Number),
  )

  test('of every token holds that token', () => {
    for (const [n, latent] of latents.entries())
      for (const [i, token] of latent.entries()) expect(packed[latentToken(n, i)]).toBe(token)
    for (const [b, { tokens }] of branches.entries())
      for (const [i, token] of tokens.entries()) expect(packed[branchToken(b, i)]).toBe(token)
  })

  test('is one for all latents that share the prefix', () => {
    expect(latentToken(1, 0)).toBe(latentToken(0, 0))
    expect(latentToken(1, 1)).not.toBe(latentToken(0, 1))
  })

  test('before a first token is the end of the prompt, or of the prefix that a branch follows', () => {
    for (const n of [0, 1, 2]) expect(packed[latentToken(n, -1)]).toBe(52)
    expect(branchToken(0, -1)).toBe(latentToken(1, 0))
    expect(packed[branchToken(1, -1)]).toBe(52)
  })
})

test('where every latent is empty, one token that belongs to none stands in', () => {
  const tree = { prompt, latents: [[], []], branches: [{ latent: 1, prefix: 0, tokens: [30] }] }
  const { latentTokens, latentContext, branchContext, branchPositions } = arrays(tree)
  expect(latentTokens.shape).toEqual([1])
  expect(latentContext).toEqual({ shape: [1, 1], values: [-1] })
  expect(branchContext).toEqual({ shape: [1, 1], values: [-1] })
  expect(branchPositions.values).toEqual([3])
  expect(packTree(tree).branchToken(0, 0)).toBe(4) // after three of the prompt and the one that stands in
})

test('tokens that were read before come first, in their order, and latents go on after them', () => {
  // Read side by side: first 10 and 30, then what follows each
  const read = [
    { token: 10, parent: -1 },
    { token: 30, parent: -1 },
    { token: 11, parent: 0 },
    { token: 31, parent: 1 },
  ]
  const latents = [
    [30, 31, 32],
    [10, 11],
    [10, 20],
  ]
  const { latentTokens, latentPositions } = arrays({ prompt, latents, read })
  expect(latentTokens.values).toEqual([10, 30, 11, 31, 32, 20])
  expect(latentPositions.values).toEqual([3, 3, 4, 4, 5, 4])
  const { latentToken } = packTree({ prompt, latents, read })
  expect([0, 1, 2].map((i) => latentToken(0, i))).toEqual([4, 6, 7])
  expect([0, 1].map((i) => latentToken(1, i))).toEqual([3, 5])
})

test('a token that was read twice, or that no latent has, has its place all the same', () => {
  const read = [
    { token: 10, parent: -1 },
    { token: 10, parent: -1 },
    { token: 12, parent: 1 },
    { token: 60, parent: 0 },
  ]
  const { latentTokens, latentRows, latentContext } = arrays({ prompt, latents: [[10, 11]], read })
  expect(latentTokens.values).toEqual([10, 10, 12, 60, 11])
  expect(latentRows.values.filter((token) => token >= 0).toSorted()).toEqual([0, 1, 2, 3, 4])
  expect(packTree({ prompt, latents: [[10, 11]], read }).latentToken(0, 1)).toBe(3 + 4)
  const rows = latentRows.shape[0]
  const rowOf = (token: number) => Math.floor(latentRows.values.indexOf(token) / latentRows.shape[1])
  const width = latentContext.shape[1]
  const contexts = Array.from({ length: rows }, (_, row) => latentContext.values.slice(row * width, (row + 1) * width))
  expect(contexts[rowOf(4)].filter((token) => token >= 0)).toEqual([0]) // 11 follows the first 10
})
