/**
 * @file Symbolic shapes. A dimension is a number or a polynomial over named sizes that are known only when a program
 * runs ("prompt+samples*length"), written in one canonical form so that equal dimensions are equal strings.
 */

/** An extent: a number, or a sum of products of named sizes with positive coefficients, in canonical form. */
export type Dim = number | string
export type Shape = readonly Dim[]

type Terms = Map<string, number> // product of names, sorted and joined by '*' ('' for the constant) → coefficient

/** a + b + … */
export function sumDims(...dims: Dim[]): Dim {
  const total: Terms = new Map()
  for (const dim of dims) for (const [names, c] of termsOf(dim)) total.set(names, (total.get(names) ?? 0) + c)
  return render(total)
}

/** a · b · … */
export function productOfDims(...dims: Dim[]): Dim {
  return render(
    dims.map(termsOf).reduce((left, right) => {
      const product: Terms = new Map()
      for (const [a, x] of left)
        for (const [b, y] of right) {
          const names = [...a.split('*'), ...b.split('*')].filter(Boolean).sort().join('*')
          product.set(names, (product.get(names) ?? 0) + x * y)
        }
      return product
    }, termsOf(1)),
  )
}

/** A dimension as a list of terms: its coefficient and its names. */
export const dimTerms = (dim: Dim) =>
  [...termsOf(dim)].map(([names, coefficient]) => ({ coefficient, names: names ? names.split('*') : [] }))

/** The value of a dimension where every name has a size. */
export const dimValue = (dim: Dim, sizes: Record<string, number>): number =>
  dimTerms(dim).reduce(
    (sum, { coefficient, names }) => sum + names.reduce((p, name) => p * sizes[name], coefficient),
    0,
  )

/** The shape that numpy's broadcasting gives. @throws Error naming both shapes where they do not fit */
export function broadcast(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, i) => {
    const x = a[a.length - rank + i] ?? 1
    const y = b[b.length - rank + i] ?? 1
    if (x !== y && x !== 1 && y !== 1) throw shapeError('cannot broadcast', a, b)
    return x === 1 ? y : x
  })
}

/** Counts an axis from the end where it is negative. @throws Error where the shape has no such axis */
export function axisOf(shape: Shape, axis: number): number {
  const positive = axis < 0 ? axis + shape.length : axis
  if (positive < 0 || positive >= shape.length) throw new Error(`${showShape(shape)} has no axis ${axis}`)
  return positive
}

export const sameShape = (a: Shape, b: Shape) => a.length === b.length && a.every((dim, i) => dim === b[i])
export const showShape = (shape: Shape) => `[${shape.join(', ')}]`
export const shapeError = (what: string, ...shapes: Shape[]) =>
  new Error(`${what}: ${shapes.map(showShape).join(' and ')}`)

function termsOf(dim: Dim): Terms {
  if (typeof dim === 'number') return new Map([['', dim]])
  return new Map(
    dim.split('+').map((term) => {
      const factors = term.split('*')
      const coefficient = factors.filter((factor) => /^\d+$/.test(factor)).reduce((p, factor) => p * Number(factor), 1)
      return [factors.filter((factor) => !/^\d+$/.test(factor)).join('*'), coefficient]
    }),
  )
}

function render(terms: Terms): Dim {
  const present = [...terms].filter(([, coefficient]) => coefficient !== 0).sort(([a], [b]) => (a < b ? -1 : 1))
  if (present.every(([names]) => names === '')) return present[0]?.[1] ?? 0
  return present
    .map(([names, coefficient]) =>
      names === '' ? `${coefficient}` : coefficient === 1 ? names : `${coefficient}*${names}`,
    )
    .join('+')
}
