/** Products of rounded numbers against exact ones, forward and backward, and a frozen head's normaliser by them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { float32, type HostTensor } from '../../runtime/host-tensor.ts'
import { openRuntime } from '../../runtime/node.ts'
import type { Runtime } from '../../runtime/session.ts'
import { gradients } from '../gradient.ts'
import { buildProgram } from '../program.ts'
import type { Tensor } from '../tensor.ts'
import {
  integerProduct,
  logNormaliser,
  matmul,
  mul,
  type StoredMatrix,
  sumAll,
  toIntegers,
  toIntegersBack,
  transpose,
} from './index.ts'

const [ROWS, INPUTS, OUTPUTS] = [5, 96, 320]
const numbers = (shape: number[], seed: number): HostTensor =>
  float32(
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(seed + 1.7 * i + 0.3 * i * i)),
  )
const given: Record<string, HostTensor> = {
  x: numbers([ROWS, INPUTS], 1),
  matrix: numbers([OUTPUTS, INPUTS], 2),
  weights: numbers([ROWS, OUTPUTS], 3),
  bias: numbers([OUTPUTS], 4),
}
/** Outliers take the levels of a row that is not turned. */
for (let row = 0; row < ROWS; row++) given.x.data[row * INPUTS + 3 * row] = 40

let runtime: Runtime
beforeAll(() => {
  runtime = openRuntime({ threads: 1 })
})
afterAll(() => runtime.dispose())

async function compute(build: (inputs: Record<string, Tensor>) => Record<string, Tensor>) {
  const program = buildProgram('case', given, build)
  const used = Object.fromEntries(Object.keys(program.inputs).map((name) => [name, given[name]]))
  const session = await runtime.open(program)
  const { outputs } = await session.run(used)
  await session.dispose()
  return (name: string) => Array.from(outputs[name].data, Number)
}

/** How far values are from others, as a part of their size. */
const distance = (values: number[], from: number[]) =>
  Math.sqrt(
    values.reduce((sum, value, i) => sum + (value - from[i]) ** 2, 0) /
      from.reduce((sum, value) => sum + value ** 2, 0),
  )

const bothWays = (matrix: Tensor) => ({ ...toIntegers([matrix]), back: toIntegersBack([matrix]) })

test('a product and its gradient are near the exact ones, and not equal to them', async () => {
  const output = await compute(({ x, matrix, weights }) => {
    const products = {
      exact: matmul(x, matrix, { transposeB: true }),
      rounded: integerProduct(x, bothWays(matrix)),
    }
    return Object.fromEntries(
      Object.entries(products).flatMap(([name, y]) => [
        [name, y],
        [`gradient of ${name}`, gradients(sumAll(mul(y, weights)), [x])[0]],
      ]),
    )
  })
  for (const name of ['', 'gradient of ']) {
    const off = distance(output(`${name}rounded`), output(`${name}exact`))
    expect(off, name).toBeGreaterThan(1e-4)
    expect(off, name).toBeLessThan(0.02)
  }
})

test('the gradient is the product with the transposed matrix, rounded in the same way', async () => {
  const output = await compute(({ x, matrix, weights }) => ({
    gradient: gradients(sumAll(mul(integerProduct(x, bothWays(matrix)), weights)), [x])[0],
    product: integerProduct(weights, toIntegers([transpose(matrix, [1, 0])])),
  }))
  expect(output('gradient')).toEqual(output('product'))
})

test('rows of nothing but zeros give zeros', async () => {
  const output = await compute(({ x, matrix }) => ({ y: integerProduct(mul(x, 0), toIntegers([matrix])) }))
  expect(output('y').every((value) => value === 0)).toBe(true)
})

test('without the transposed matrix nothing flows back, which is said', async () => {
  const backward = compute(({ x, matrix }) => ({
    gradient: gradients(sumAll(integerProduct(x, toIntegers([matrix]))), [x])[0],
  }))
  await expect(backward).rejects.toThrow(/no derivative without the transposed matrix/)
})

describe.each([false, true])('log Σ exp of the logits, with a bias: %s', (withBias) => {
  test.each([OUTPUTS, 100])('and its gradient are near the exact ones, %i rows at a time', async (rowsAtOnce) => {
    const output = await compute(({ x, matrix, bias }) => {
      const head: StoredMatrix = { storage: 'float32', shape: [OUTPUTS, INPUTS], parts: [matrix] }
      const small = mul(x, 0.2)
      const of = (head: StoredMatrix) => logNormaliser(small, head, withBias ? bias : undefined, rowsAtOnce)
      const [exact, rounded] = [of(head), of({ ...head, integers: toIntegers([matrix]) })]
      const slope = (y: Tensor) => gradients(sumAll(y), [x])[0]
      return { exact, rounded, 'exact slope': slope(exact), 'rounded slope': slope(rounded) }
    })
    expect(distance(output('rounded'), output('exact'))).toBeLessThan(0.005)
    expect(distance(output('rounded slope'), output('exact slope'))).toBeLessThan(0.05)
    expect(output('rounded')).not.toEqual(output('exact'))
  })
})
