import { afterAll, beforeAll, expect, test } from 'vitest'
import { float32, type HostTensor } from '../runtime/host-tensor.ts'
import { openRuntime } from '../runtime/node.ts'
import type { Runtime, Session } from '../runtime/session.ts'
import { gradients } from './gradient.ts'
import { add, concat, exp, matmul, mul, softmax, sumAll, sumLast } from './ops/index.ts'
import { buildProgram } from './program.ts'
import type { TensorType } from './tensor.ts'

let runtime: Runtime
beforeAll(() => {
  runtime = openRuntime({ threads: 1 })
})
afterAll(() => runtime.dispose())

const matrix: TensorType = { dtype: 'float32', shape: ['rows', 3] }

test('inputs that no output depends on are left out', async () => {
  const program = buildProgram('some', { x: matrix, idle: matrix, other: matrix }, ({ x, idle, other }) => {
    exp(idle)
    return { y: add(x, other) }
  })
  expect(program.inputs).toEqual({ x: matrix, other: matrix })
  expect(program.outputs).toEqual(['y'])
  const session = await runtime.open(program)
  const { outputs } = await session.run({ x: float32([1, 3], [1, 2, 3]), other: float32([1, 3], [1, 1, 1]) })
  expect(outputs.y.data).toEqual(Float32Array.of(2, 3, 4))
})

test('an input of which only the size is read is an input all the same', () => {
  const program = buildProgram('size', { x: matrix, y: { dtype: 'float32', shape: [3] } }, ({ x, y }) => ({
    ones: add(mul(sumLast(x), 0), sumAll(y)),
    tall: gradients(sumAll(x), [x])[0],
  }))
  expect(Object.keys(program.inputs)).toEqual(['x', 'y'])
})

test('building twice gives the same bytes', () => {
  const build = () => buildProgram('same', { x: matrix }, ({ x }) => ({ y: softmax(mul(x, 2)), z: sumAll(x) }))
  expect(build().bytes).toEqual(build().bytes)
})

test('sizes change from run to run without another session, and a result does not depend on earlier runs', async () => {
  const program = buildProgram('scores', { x: matrix, y: { ...matrix, shape: ['others', 3] } }, ({ x, y }) => {
    const weights = softmax(matmul(x, concat([x, y], 0), { transposeB: true })) // [rows, rows + others]
    const loss = sumAll(mul(weights, weights))
    return { loss, slope: gradients(loss, [x])[0] }
  })
  const session = await runtime.open(program)
  const sizes = [
    [2, 3],
    [5, 1],
    [1, 0],
    [4, 7],
    [2, 3],
  ]
  const irregular = (rows: number, seed: number): HostTensor =>
    float32(
      [rows, 3],
      rows ? Array.from({ length: 3 * rows }, (_, i) => Math.sin(seed + 7.3 * i)) : new Float32Array(0),
    )
  const results = []
  for (const [rows, others] of sizes) results.push(await run(session, irregular(rows, 1), irregular(others, 2)))
  for (const [i, [rows, others]] of sizes.entries()) {
    expect(results[i].slope.shape).toEqual([rows, 3])
    expect(Number(results[i].loss.data[0])).toBeCloseTo(lossOf(irregular(rows, 1), irregular(others, 2)), 5)
  }
  expect(results[4]).toEqual(results[0])
})

const run = async (session: Session, x: HostTensor, y: HostTensor) => (await session.run({ x, y })).outputs

/** The same in plain numbers. */
function lossOf(x: HostTensor, y: HostTensor): number {
  const rows = (t: HostTensor) =>
    Array.from({ length: t.shape[0] }, (_, i) => Array.from(t.data.slice(3 * i, 3 * i + 3), Number))
  const all = [...rows(x), ...rows(y)]
  return rows(x).reduce((total, row) => {
    const e = all.map((other) => Math.exp(row.reduce((sum, value, i) => sum + value * other[i], 0)))
    const sum = e.reduce((a, b) => a + b)
    return total + e.reduce((a, b) => a + (b / sum) ** 2, 0)
  }, 0)
}
