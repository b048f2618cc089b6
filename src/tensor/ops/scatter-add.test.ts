import { afterAll, expect, test } from 'vitest'
import { float32, int64 } from '../../runtime/host-tensor.ts'
import { openRuntime } from '../../runtime/node.ts'
import { buildProgram } from '../program.ts'
import { scatterAdd } from './index.ts'

const runtime = openRuntime({ threads: 2 })
afterAll(() => runtime.dispose())

test('many updates of one element are all added, however many threads there are', async () => {
  const [updates, width] = [4000, 192]
  const program = buildProgram(
    'sum',
    { index: { dtype: 'int64', shape: ['n'] }, rows: { dtype: 'float32', shape: ['n', width] } },
    ({ index, rows }) => ({ sum: scatterAdd(index, rows, [3, width]) }),
  )
  const session = await runtime.open(program)
  for (let run = 0; run < 20; run++) {
    const { outputs } = await session.run({
      index: int64([updates], Array(updates).fill(1)),
      rows: float32([updates, width], Array(updates * width).fill(1)),
    })
    const expected = Array.from({ length: 3 * width }, (_, i) => (Math.floor(i / width) === 1 ? updates : 0))
    expect(Array.from(outputs.sum.data, Number)).toEqual(expected)
  }
})
