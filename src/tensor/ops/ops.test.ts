import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { presentDevices } from '../../../test/devices.ts'
import { type HostTensor, sizeOf } from '../../runtime/host-tensor.ts'
import { openRuntime } from '../../runtime/node.ts'
import type { Runtime } from '../../runtime/session.ts'
import { gradients } from '../gradient.ts'
import { buildProgram } from '../program.ts'
import { cases, type OpCase } from './cases.ts'
import * as ops from './index.ts'

const STEP = 2e-3 // balances the error of central differences (∝ step²) against float32's rounding (∝ 1/step)

test('every op has a case', () => {
  const names = Object.values(ops).flatMap((value) =>
    typeof value === 'function' && 'op' in value ? [value.op.name] : [],
  )
  const covered = new Set(cases.map(({ op }) => op))
  expect(names.filter((name) => !covered.has(name))).toEqual([])
})

describe.each(presentDevices('ops'))('op on $device', ({ device, errorFactor }) => {
  let runtime: Runtime
  beforeAll(() => {
    runtime = openRuntime({ threads: 1, device })
  })
  afterAll(() => runtime.dispose())

  for (const [i, opCase] of cases.entries())
    test(`${opCase.op} (case ${i}) computes what it says, and its gradient is that of finite differences`, () =>
      check(runtime, opCase, errorFactor))
})

/** Weighted sum of the op's output, so that every element's gradient differs. */
const weighted = (y: ReturnType<OpCase['build']>) =>
  ops.sumAll(
    ops.mul(
      ops.reshape(y, [sizeOf(y.shape as number[])]),
      ops.add(ops.toFloat(ops.range(sizeOf(y.shape as number[]))), 0.5),
    ),
  )

async function check(runtime: Runtime, { inputs, build, expected, differentiable }: OpCase, errorFactor: number) {
  const types = Object.fromEntries(Object.entries(inputs).map(([name, { dtype, shape }]) => [name, { dtype, shape }]))
  const variables = differentiable ?? Object.keys(inputs).filter((name) => inputs[name].dtype === 'float32')
  const program = buildProgram('case', types, (symbols) => {
    const output = build(symbols)
    const total = weighted(output)
    const reachable = output.node.op.gradient !== 'none' && !(expected && output.node.op.name === 'toFloat')
    const slopes = reachable
      ? gradients(
          total,
          variables.map((name) => symbols[name]),
        )
      : []
    return { output, total, ...Object.fromEntries(slopes.map((slope, i) => [`d_${variables[i]}`, slope])) }
  })
  const session = await runtime.open(program)
  const run = async (values: Record<string, HostTensor>) => (await session.run(values)).outputs
  const used = Object.fromEntries(Object.keys(program.inputs).map((name) => [name, inputs[name]]))
  const result = await run(used)
  if (expected)
    for (const [i, value] of expected.entries())
      expect(Math.abs(Number(result.output.data[i]) - value)).toBeLessThan(5e-6 * errorFactor)

  for (const name of variables.filter((name) => `d_${name}` in result)) {
    const data = inputs[name].data as Float32Array
    for (let k = 0; k < data.length; k++) {
      const at = async (delta: number) => {
        const moved = Float32Array.from(data)
        moved[k] += delta
        const { total } = await run({ ...used, [name]: { ...inputs[name], data: moved } })
        return Number(total.data[0])
      }
      const slope = ((await at(STEP)) - (await at(-STEP))) / (2 * STEP)
      const computed = Number(result[`d_${name}`].data[k])
      expect(Math.abs(computed - slope), `${name}[${k}]: ${computed} against ${slope}`).toBeLessThan(
        5e-3 * errorFactor * Math.max(1, Math.abs(slope)),
      )
    }
  }
  await session.dispose()
}
