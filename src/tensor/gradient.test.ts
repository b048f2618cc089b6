import { afterAll, beforeAll, expect, test } from 'vitest'
import { float32, type HostTensor, int64 } from '../runtime/host-tensor.ts'
import { openRuntime } from '../runtime/node.ts'
import type { Runtime } from '../runtime/session.ts'
import { gradients } from './gradient.ts'
import {
  add,
  constant,
  exp,
  gather,
  greaterOrEqual,
  input,
  matmul,
  mul,
  split,
  sumAll,
  toFloat,
  where,
} from './ops/index.ts'
import { buildProgram } from './program.ts'
import { nodesInOrder, type Tensor } from './tensor.ts'

let runtime: Runtime
beforeAll(() => {
  runtime = openRuntime({ threads: 1 })
})
afterAll(() => runtime.dispose())

/** Gradients of a scalar with respect to the named inputs. */
async function slopes(
  inputs: Record<string, HostTensor>,
  build: (inputs: Record<string, Tensor>) => Tensor,
  names = Object.keys(inputs),
) {
  const program = buildProgram('slopes', inputs, (symbols) => {
    const found = gradients(
      build(symbols),
      names.map((name) => symbols[name]),
    )
    return Object.fromEntries(names.map((name, i) => [`d_${name}`, found[i]]))
  })
  const session = await runtime.open(program)
  const read = Object.fromEntries(Object.keys(program.inputs).map((name) => [name, inputs[name]]))
  const { outputs } = await session.run(read)
  await session.dispose()
  return Object.fromEntries(names.map((name) => [name, Array.from(outputs[`d_${name}`].data as Float32Array)]))
}

const x = input('x', { dtype: 'float32', shape: ['n'] })

test('what is used several times gets the sum of its gradients', async () => {
  // x² + 3x + x·x·x at 2 and −1: 2x + 3 + 3x²
  const found = await slopes({ x: float32([2], [2, -1]) }, ({ x }) =>
    sumAll(add(add(mul(x, x), mul(x, 3)), mul(mul(x, x), x))),
  )
  expect(found.x).toEqual([19, 4])
})

test('a value that was broadcast gets the sum over its copies', async () => {
  const inputs = { row: float32([3], [1, 2, 3]), table: float32([2, 3], [1, 2, 3, 4, 5, 6]), factor: float32([], [2]) }
  const found = await slopes(inputs, ({ row, table, factor }) => sumAll(mul(mul(row, table), factor)))
  expect(found.row).toEqual([10, 14, 18])
  expect(found.table).toEqual([2, 4, 6, 2, 4, 6])
  expect(found.factor).toEqual([1 + 4 + 9 + 4 + 10 + 18])
})

test('one output of several may be left unused', async () => {
  const found = await slopes({ x: float32([4], [1, 2, 3, 4]) }, ({ x }) => {
    const [, middle] = split(x, [1, 2, 1], 0)
    return sumAll(mul(middle, middle))
  })
  expect(found.x).toEqual([0, 4, 6, 0])
})

test('the gradient of a scalar with respect to itself is one', async () => {
  expect((await slopes({ x: float32([], [5]) }, ({ x }) => x)).x).toEqual([1])
})

test('gradients may be taken with respect to an intermediate value', async () => {
  const program = buildProgram('inner', { x: float32([2]) }, ({ x }) => {
    const inner = exp(x)
    return { slope: gradients(sumAll(mul(inner, inner)), [inner])[0] }
  })
  const { outputs } = await (await runtime.open(program)).run({ x: float32([2], [0, Math.log(3)]) })
  expect(outputs.slope.data[0]).toBe(2)
  expect(outputs.slope.data[1]).toBeCloseTo(6, 5)
})

test('gradients of gradients: the rules are made of ops that have rules', async () => {
  const program = buildProgram('second', { x: float32([2]) }, ({ x }) => {
    const [first] = gradients(sumAll(mul(mul(x, x), x)), [x])
    return { second: gradients(sumAll(first), [x])[0] }
  })
  const { outputs } = await (await runtime.open(program)).run({ x: float32([2], [2, -1]) })
  expect(Array.from(outputs.second.data as Float32Array)).toEqual([12, -6])
})

test('only paths to the variables are walked: what leads to a frozen weight costs nothing', () => {
  const weight = input('weight', { dtype: 'float32', shape: [4, 4] })
  const table = input('table', { dtype: 'float32', shape: [9, 4] })
  const tokens = input('tokens', { dtype: 'int64', shape: ['n'] })
  const b = input('b', { dtype: 'float32', shape: [4] })
  const loss = sumAll(mul(matmul(gather(table, tokens), weight), b))
  const [slope] = gradients(loss, [b])
  const count = (name: string) => nodesInOrder([slope]).filter(({ op }) => op.name === name).length
  expect(count('matmul')).toBe(1) // the forward product, none for the weight
  expect(count('scatterAdd')).toBe(0)
})

test('what was not chosen gets the gradient zero, even under NaN', async () => {
  const found = await slopes({ x: float32([2], [1, 2]), y: float32([2], [Number.NaN, 4]) }, ({ x, y }) =>
    sumAll(mul(where(greaterOrEqual(constant(float32([2], [0, 1])), constant(1)), x, 5), y)),
  )
  expect(found.x).toEqual([0, 4])
})

test('only a scalar has a gradient', () => {
  expect(() => gradients(x, [x])).toThrow('only a scalar has a gradient: [n]')
})

test('a variable without influence is refused by name', () => {
  const other = input('other', { dtype: 'float32', shape: [2] })
  expect(() => gradients(sumAll(x), [x, other])).toThrow(/does not depend on input .*"other"/)
})

test('a comparison on the only path is refused', () => {
  const steps = greaterOrEqual(x, mul(x, 2))
  expect(() => gradients(sumAll(toFloat(steps)), [x])).toThrow('toFloat has no derivative')
})

test('a comparison beside another path is refused as well, for its part would silently be missing', () => {
  const gate = toFloat(greaterOrEqual(x, mul(x, 2)))
  expect(() => gradients(sumAll(mul(gate, x)), [x])).toThrow('has no derivative')
})

test('a comparison of values that are no variables is none of its business', async () => {
  const found = await slopes(
    { x: float32([3], [1, 2, 3]), limit: float32([3], [2, 2, 2]), index: int64([3], [1, 2, 3]) },
    ({ x, limit, index }) => sumAll(mul(x, toFloat(greaterOrEqual(toFloat(index), limit)))),
    ['x'],
  )
  expect(found.x).toEqual([0, 1, 1])
})
