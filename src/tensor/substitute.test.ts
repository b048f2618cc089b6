import { expect, test } from 'vitest'
import { float32 } from '../runtime/host-tensor.ts'
import { openRuntime } from '../runtime/node.ts'
import { gradients } from './gradient.ts'
import { add, exp, input, mul, sumAll } from './ops/index.ts'
import { buildProgram } from './program.ts'
import { substitute } from './substitute.ts'
import { nodesInOrder, type Tensor } from './tensor.ts'

const vector = { dtype: 'float32', shape: ['n'] } as const

test('what computed a replaced value is gone, and all that reads it reads the other one', () => {
  const [x, other] = [input('x', vector), input('other', vector)]
  const costly = exp(x)
  const { y, z } = substitute({ y: mul(add(costly, 1), costly), z: costly }, new Map([[costly, other]]))
  expect(z).toBe(other)
  const names = nodesInOrder([y]).map(({ op }) => op.name)
  expect(names).not.toContain('exp')
  expect(nodesInOrder([y])).not.toContain(x.node)
})

test('what does not depend on it stays the same node', () => {
  const [x, other] = [input('x', vector), input('other', vector)]
  const [kept, replaced] = [exp(x), mul(x, x)]
  const { sum } = substitute({ sum: add(kept, replaced) }, new Map([[replaced, other]]))
  expect(sum.node.inputs[0]).toBe(kept)
})

test('gradients flow as through the value, with the numbers of the replacement, which may itself read what is replaced', async () => {
  const program = buildProgram('slopes', { x: vector, a: vector, b: vector }, ({ x, a, b }) => {
    const first = mul(x, 3) // stands for a
    const second = mul(first, first) // stands for b + first, and so for b + a
    const [slope] = gradients(sumAll(mul(second, 5)), [x])
    const instead = new Map<Tensor, Tensor>([
      [first, a],
      [second, add(b, first)],
    ])
    return substitute({ slope, value: second }, instead)
  })
  const runtime = openRuntime({ threads: 1 })
  const session = await runtime.open(program)
  const { outputs } = await session.run({
    x: float32([2], [Number.NaN, Number.NaN]),
    a: float32([2], [2, 7]),
    b: float32([2], [10, 20]),
  })
  await runtime.dispose()
  expect([...(outputs.value.data as Float32Array)]).toEqual([12, 27])
  expect([...(outputs.slope.data as Float32Array)]).toEqual([2 * 2 * 3 * 5, 2 * 7 * 3 * 5])
})
