import { expect, test } from 'vitest'
import { packTokens } from './packing.ts'

/** The arrays of a pack as plain numbers, by name. */
const arrays = (prompt: readonly number[], latents: readonly (readonly number[])[]) =>
  Object.fromEntries(
    Object.entries(packTokens(prompt, latents).inputs).map(([name, { data, shape }]) => [
      name,
      { shape, values: Array.from(data, Number) },
    ]),
  )

const prompt = [50, 51, 52]
const latents = [[10, 11], [], [20, 21, 22]]

test('a prompt stands once, and latents follow it without padding', () => {
  expect(arrays(prompt, latents)).toEqual({
    promptTokens: { shape: [3], values: [50, 51, 52] },
    latentTokens: { shape: [5], values: [10, 11, 20, 21, 22] },
    latentPositions: { shape: [5], values: [3, 4, 3, 4, 5] },
    latentRows: { shape: [3, 3], values: [0, 1, -1, -1, -1, -1, 2, 3, 4] },
    latentPlaces: { shape: [5], values: [0, 1, 6, 7, 8] },
  })
})

test('rows and places are inverse to each other', () => {
  const { latentRows, latentPlaces } = arrays(prompt, [[1], [2, 3, 4], [], [5, 6]])
  for (const [token, place] of latentPlaces.values.entries()) expect(latentRows.values[place]).toBe(token)
  expect(latentRows.values.filter((token) => token >= 0)).toHaveLength(latentPlaces.values.length)
})

test('the packed place of a token holds that token, and before a first token is the end of the prompt', () => {
  const { inputs, latentToken } = packTokens(prompt, latents)
  const packed = ['promptTokens', 'latentTokens'].flatMap((name) => Array.from(inputs[name].data, Number))
  for (const [n, latent] of latents.entries()) {
    for (const [i, token] of latent.entries()) expect(packed[latentToken(n, i)]).toBe(token)
    expect(packed[latentToken(n, -1)]).toBe(52)
  }
})

test('where every latent is empty, one token that belongs to none stands in', () => {
  const { latentTokens, latentRows, latentPlaces } = arrays(prompt, [[], []])
  expect(latentTokens.shape).toEqual([1])
  expect(latentRows.shape).toEqual([2, 1])
  expect(latentPlaces.shape).toEqual([1])
})
