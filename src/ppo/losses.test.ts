import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bool, float32, type HostTensor } from '../runtime/host-tensor.ts'
import { openRuntime } from '../runtime/node.ts'
import type { Runtime } from '../runtime/session.ts'
import { gradients } from '../tensor/gradient.ts'
import { buildProgram } from '../tensor/program.ts'
import type { TensorType } from '../tensor/tensor.ts'
import { surrogate, valueLoss } from './losses.ts'

let runtime: Runtime
beforeAll(() => {
  runtime = openRuntime({ threads: 1 })
})
afterAll(() => runtime.dispose())

const numbers: TensorType = { dtype: 'float32', shape: ['samples', 'states'] }
const acting: TensorType = { dtype: 'bool', shape: ['samples', 'states'] }

const row = (...values: number[]) => float32([1, values.length], values)
const at = (...values: boolean[]) => bool([1, values.length], values)

async function run(
  build: Parameters<typeof buildProgram>[2],
  feeds: Record<string, HostTensor>,
): Promise<Record<string, number[]>> {
  const types = Object.fromEntries(Object.keys(feeds).map((name) => [name, name === 'acting' ? acting : numbers]))
  const session = await runtime.open(buildProgram('losses', types, build))
  const { outputs } = await session.run(feeds)
  await session.dispose()
  return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, Array.from(data as Float32Array)]))
}

const close = (actual: readonly number[], wanted: readonly number[]) => {
  expect(actual).toHaveLength(wanted.length)
  for (const [k, value] of wanted.entries()) expect(actual[k]).toBeCloseTo(value, 5)
}

describe('the clipped surrogate', () => {
  const ratios = [1.1, 1.5, 1.5, 0.5, 0.5, 1]
  const advantages = [2, 1, -1, 1, -1, 3]
  // within; clipped at 1.2; not clipped, for it is worse; not clipped; clipped at 0.8; as it was
  const terms = [2.2, 1.2, -1.5, 0.5, -0.8, 3]
  const feeds = (garbage: number) => ({
    acting: at(true, true, true, true, true, true, false),
    logQ: row(...ratios.map(Math.log), garbage),
    oldLogQ: row(0, 0, 0, 0, 0, 0, 5),
    advantages: row(...advantages, 1000),
  })
  const build: Parameters<typeof buildProgram>[2] = (inputs) => {
    const all = surrogate(inputs as unknown as Parameters<typeof surrogate>[0], 0.2)
    return { ...all, slope: gradients(all.loss, [inputs.logQ], () => true)[0] }
  }

  test('is that of numbers by hand, and so are its figures', async () => {
    const { loss, clipFraction, policyKl } = await run(build, feeds(0))
    close(loss, [-terms.reduce((sum, term) => sum + term) / 6])
    close(clipFraction, [4 / 6])
    close(policyKl, [ratios.reduce((sum, ratio) => sum + ratio - 1 - Math.log(ratio), 0) / 6])
  })

  test('has a slope of −ρ A where it is not clipped, and none where it is', async () => {
    const { slope } = await run(build, feeds(0))
    close(slope, [-2.2 / 6, 0, 1.5 / 6, -0.5 / 6, 0, -3 / 6, 0])
  })

  test('does not see what stands where no action is', async () => {
    const plain = await run(build, feeds(0))
    for (const garbage of [300, Number.NaN]) expect(await run(build, feeds(garbage))).toEqual(plain)
  })
})

test('the value loss is the worse of the free and the bound error, by hand', async () => {
  // free 1 and bound to 0.2: (1 − 3)² = 4 and (0.2 − 3)²; within; beyond on the wrong side: (−1 − 3)² and (−0.2 − 3)²
  const feeds = {
    acting: at(true, true, true, false),
    values: row(1, 0.1, -1, 50),
    oldValues: row(0, 0, 0, 0),
    returns: row(3, 3, 3, 3),
  }
  const { loss, slope } = await run((inputs) => {
    const loss = valueLoss(inputs as unknown as Parameters<typeof valueLoss>[0], 0.2)
    return { loss, slope: gradients(loss, [inputs.values], () => true)[0] }
  }, feeds)
  close(loss, [(2.8 ** 2 + 2.9 ** 2 + 4 ** 2) / 3 / 2])
  close(slope, [0, -2.9 / 3, -4 / 3, 0]) // the first has moved as far as it may
})
