import { describe, expect, test } from 'vitest'
import { seededRandom } from '../random.ts'
import { axisOf, broadcast, type Dim, dimTerms, dimValue, productOfDims, sameShape, sumDims } from './shape.ts'

describe('dimensions', () => {
  test.each<[Dim, Dim]>([
    [sumDims(2, 3), 5],
    [sumDims(), 0],
    [sumDims('prompt'), 'prompt'],
    [sumDims('prompt', 'latent'), 'latent+prompt'],
    [sumDims('latent', 'prompt'), 'latent+prompt'],
    [sumDims('length', 1, 'length', 2), '3+2*length'],
    [sumDims('length', 0), 'length'],
    [productOfDims(), 1],
    [productOfDims(2, 3), 6],
    [productOfDims('b', 'a'), 'a*b'],
    [productOfDims('a', 1), 'a'],
    [productOfDims('a', 0), 0],
    [productOfDims(2, 'a', 3), '6*a'],
    [productOfDims('a', 'a'), 'a*a'],
    [productOfDims(sumDims('a', 1), sumDims('b', 2)), '2+2*a+a*b+b'],
    [productOfDims(sumDims('a', 'b'), sumDims('a', 'b')), 'a*a+2*a*b+b*b'],
    [sumDims('2*a+1', '3*b', '4*a'), '1+6*a+3*b'],
  ])('%s is written %s', (dim, canonical) => {
    expect(dim).toBe(canonical)
  })

  test('equal polynomials are equal strings, in whatever order they were made', () => {
    const draws = seededRandom(3).at('polynomials')
    const atom = (): Dim => (['a', 'b', 'prompt', 1, 2, 3] as const)[draws.integer(6)]
    for (let i = 0; i < 200; i++) {
      const [x, y, z] = Array.from({ length: 3 }, () => sumDims(productOfDims(atom(), atom()), atom()))
      expect(sumDims(sumDims(x, y), z)).toBe(sumDims(z, y, x))
      expect(productOfDims(x, sumDims(y, z))).toBe(sumDims(productOfDims(x, y), productOfDims(z, x)))
      const sizes = { a: 5, b: 7, prompt: 11 }
      expect(dimValue(productOfDims(x, y), sizes)).toBe(dimValue(x, sizes) * dimValue(y, sizes))
      expect(dimValue(sumDims(x, y), sizes)).toBe(dimValue(x, sizes) + dimValue(y, sizes))
    }
  })

  test('are sums of coefficients and names', () => {
    expect(dimTerms(7)).toEqual([{ coefficient: 7, names: [] }])
    expect(dimTerms('3+2*a*b+c')).toEqual([
      { coefficient: 3, names: [] },
      { coefficient: 2, names: ['a', 'b'] },
      { coefficient: 1, names: ['c'] },
    ])
  })
})

describe('broadcasting', () => {
  test.each([
    [[2, 3], [3], [2, 3]],
    [[3], [2, 3], [2, 3]],
    [[], [4], [4]],
    [
      [2, 1, 4],
      [3, 1],
      [2, 3, 4],
    ],
    [
      ['n', 1],
      [1, 'm'],
      ['n', 'm'],
    ],
    [['n'], ['n'], ['n']],
    [[1], ['n'], ['n']],
  ])('%j and %j give %j', (a, b, wanted) => {
    expect(broadcast(a, b)).toEqual(wanted)
  })

  test.each([
    [[2, 3], [2]],
    [['n'], ['m']],
    [['n'], [3]],
  ])('%j and %j do not fit, and the message shows both', (a, b) => {
    const show = (shape: readonly Dim[]) => `[${shape.join(', ')}]`
    expect(() => broadcast(a, b)).toThrow(`cannot broadcast: ${show(a)} and ${show(b)}`)
  })
})

test('axes count from either end, and one that is not there is refused', () => {
  expect(axisOf(['n', 3], 1)).toBe(1)
  expect(axisOf(['n', 3], -1)).toBe(1)
  expect(axisOf(['n', 3], -2)).toBe(0)
  expect(() => axisOf(['n', 3], 2)).toThrow('[n, 3] has no axis 2')
  expect(() => axisOf(['n', 3], -3)).toThrow('[n, 3] has no axis -3')
})

test('shapes are the same where every dimension is', () => {
  expect(sameShape(['n', 3], ['n', 3])).toBe(true)
  expect(sameShape(['n', 3], ['n', 3, 1])).toBe(false)
  expect(sameShape(['n', 3], ['m', 3])).toBe(false)
})
