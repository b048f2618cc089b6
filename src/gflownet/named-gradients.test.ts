import { expect, test } from 'vitest'
import { isActivation } from '../tensor/ops/activation.ts'
import { mul, silu, sumAll } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import { nodesInOrder } from '../tensor/tensor.ts'
import { gradientOutputs } from './named-gradients.ts'

test('activations and their products with a gate are made again, not held', () => {
  const types = { gate: { dtype: 'float32', shape: [2, 3] }, up: { dtype: 'float32', shape: [2, 3] } } as const
  buildProgram('gated', types, ({ gate, up }) => {
    const loss = sumAll(mul(mul(silu(gate), up), up))
    const outputs = gradientOutputs(loss, { gate, up }, ['gate', 'up'], 'nothing')
    const activations = nodesInOrder(Object.values(outputs)).filter(isActivation)
    const forward = new Set(nodesInOrder([loss]))
    expect(activations).toHaveLength(1)
    expect(activations.some((node) => forward.has(node))).toBe(false)
    return outputs
  })
})
