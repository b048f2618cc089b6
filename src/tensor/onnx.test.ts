import { fromBinary } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { float32, int64 } from '../runtime/host-tensor.ts'
import { openRuntime } from '../runtime/node.ts'
import type { Program, Runtime } from '../runtime/session.ts'
import { ModelProtoSchema } from './onnx-proto.ts'
import { add, constant, exp, matmul, mul, range, reshape, sumAll, toFloat, zeros } from './ops/index.ts'
import { buildProgram } from './program.ts'
import { sumDims } from './shape.ts'
import type { TensorType } from './tensor.ts'

const vector: TensorType = { dtype: 'float32', shape: ['n'] }
const graphOf = ({ bytes }: Program) => fromBinary(ModelProtoSchema, bytes).graph!
const opTypes = (program: Program) => graphOf(program).node.map(({ opType }) => opType)
const count = (program: Program, type: string) => opTypes(program).filter((other) => other === type).length

describe('equal nodes are emitted once', () => {
  test('where the same op was applied twice to the same inputs', () => {
    const program = buildProgram('twice', { x: vector }, ({ x }) => ({ y: add(mul(exp(x), 2), mul(exp(x), 2)) }))
    expect(opTypes(program)).toEqual(['Exp', 'Mul', 'Add'])
  })

  test('but not where attributes differ', () => {
    const square: TensorType = { dtype: 'float32', shape: ['n', 'n'] }
    const program = buildProgram('scaled', { x: square }, ({ x }) => ({
      y: add(matmul(x, x, { scale: 2 }), add(matmul(x, x, { scale: 3 }), matmul(x, x, { scale: 2 }))),
    }))
    expect(count(program, 'FusedMatMul')).toBe(2)
  })

  test('and equal constants are stored once, by value, type and shape', () => {
    const program = buildProgram('constants', { x: vector }, ({ x }) => ({
      y: add(add(mul(x, 3), mul(exp(x), 3)), mul(x, constant(float32([1], [3])))),
      z: toFloat(constant(int64([], [3]))),
      zeros: add(constant(0), toFloat(constant({ dtype: 'int32', shape: [], data: Int32Array.of(0) }))), // equal bytes
    }))
    const stored = graphOf(program).initializer.map(({ dims, dataType }) => `${dims}:${dataType}`)
    expect(stored.sort()).toEqual(['1:1', ':1', ':1', ':6', ':7'])
  })

  test('and a size that is needed often is read once', () => {
    const program = buildProgram('sizes', { x: { dtype: 'float32', shape: ['n', 'm'] } }, ({ x }) => ({
      y: add(x, zeros(['n', 'm'])),
      z: add(reshape(x, ['m', 'n']), zeros(['m', 'n'])),
    }))
    expect(count(program, 'Shape')).toBe(2) // one for n, one for m
  })
})

test('nodes that no output needs are not emitted', () => {
  const program = buildProgram('unused', { x: vector }, ({ x }) => {
    exp(x)
    return { y: add(x, 1) }
  })
  expect(opTypes(program)).toEqual(['Add'])
})

test('one value may be given out under several names', () => {
  const program = buildProgram('names', { x: vector }, ({ x }) => {
    const y = exp(x)
    return { first: y, second: y, third: x }
  })
  expect(count(program, 'Exp')).toBe(1)
  expect(graphOf(program).output.map(({ name }) => name)).toEqual(['first', 'second', 'third'])
})

test('values are declared with their symbolic shapes', () => {
  const program = buildProgram('shapes', { x: { dtype: 'float32', shape: ['n', 4] } }, ({ x }) => ({ y: exp(x) }))
  const [{ type }] = graphOf(program).output
  const { value } = type!
  if (value.case !== 'tensorType') throw new Error('no tensor')
  expect(value.value.shape!.dim.map((dim) => dim.value)).toEqual([
    { case: 'dimParam', value: 'n' },
    { case: 'dimValue', value: 4n },
  ])
})

test('a size that no input has is refused by name', () => {
  expect(() => buildProgram('lost', { x: vector }, ({ x }) => ({ y: add(sumAll(x), zeros(['width'])) }))).toThrow(
    'no input has an axis of size "width"',
  )
})

describe('sizes that are computed when the program runs', () => {
  let runtime: Runtime
  beforeAll(() => {
    runtime = openRuntime({ threads: 1 })
  })
  afterAll(() => runtime.dispose())

  test('follow polynomials of the inputs’ sizes', async () => {
    const types: Record<string, TensorType> = { x: vector, y: { dtype: 'float32', shape: ['m', 2] } }
    const program = buildProgram('counts', types, () => ({
      sum: range(sumDims('n', '3*m', 1)),
      product: zeros(['n*m', sumDims('m', 2)]),
    }))
    const session = await runtime.open(program)
    const { outputs } = await session.run({ x: float32([5]), y: float32([2, 2]) })
    expect(Array.from(outputs.sum.data as BigInt64Array, Number)).toEqual(Array.from({ length: 12 }, (_, i) => i))
    expect(outputs.product.shape).toEqual([10, 4])
  })
})
