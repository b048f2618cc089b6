import { expect, test } from 'vitest'
import { compareExactly, compareShapes, enumerateLatents } from './enumerate.ts'

test('every latent of the support is listed once, shorter ones first', () => {
  const support = { stop: 2, minTokens: 0, maxTokens: 2 }
  expect(enumerateLatents(support, 3)).toEqual([[], [0], [1], [0, 0], [0, 1], [1, 0], [1, 1]])
  expect(enumerateLatents({ ...support, minTokens: 2 }, 3)).toHaveLength(4)
  const bias = Float32Array.from([0, -Infinity, 0])
  expect(enumerateLatents({ ...support, bias }, 3)).toEqual([[], [0], [0, 0]])
  expect(() => enumerateLatents({ ...support, maxTokens: 30 }, 3)).toThrow('more than 1000000 latents')
})

test('a sampler of the tempered posterior is at distance 0, and log Z is that of the tempered reward', () => {
  const logReward = [4, 0, 2].map((value) => value * Math.log(2))
  const logQ = [4 / 7, 1 / 7, 2 / 7].map(Math.log)
  const exact = compareExactly(logReward, logQ, 2)
  expect(exact.logZ).toBeCloseTo(Math.log(7), 12)
  for (const distance of [exact.totalVariation, exact.klToPosterior, exact.klFromPosterior])
    expect(distance).toBeCloseTo(0, 12)
  expect(compareExactly(logReward, logQ).totalVariation).toBeGreaterThan(0.1)
})

test('stopping too early and collapsing onto a first token are told', () => {
  const latents = [[], [0], [1], [0, 1]]
  const posterior = [0.1, 0.3, 0.3, 0.3].map(Math.log)
  const sampler = [0.1, 0.8, 0, 0.1].map(Math.log)
  const { lengthBias, firstTokenEntropyGap } = compareShapes(latents, { posterior, sampler })
  expect(lengthBias).toBeCloseTo(1 - 1.2, 12)
  const entropy = (...p: number[]) => -p.reduce((sum, x) => sum + x * Math.log(x), 0)
  expect(firstTokenEntropyGap).toBeCloseTo(entropy(0.1, 0.9) - entropy(0.1, 0.6, 0.3), 12)
  expect(compareShapes(latents, { posterior, sampler: posterior })).toEqual({ lengthBias: 0, firstTokenEntropyGap: 0 })
})
