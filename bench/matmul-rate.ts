/** @file How fast this machine multiplies matrices at best: what the speed of a step is measured by. */
import { float32 } from '../src/runtime/host-tensor.ts'
import { openRuntime } from '../src/runtime/node.ts'
import { matmul } from '../src/tensor/ops/index.ts'
import { buildProgram } from '../src/tensor/program.ts'
import { median } from './statistics.ts'

/** Products of [rows, inner] and [inner, columns] like those of a step. */
const LARGE_PRODUCTS = [
  [640, 768, 3072],
  [828, 1536, 576],
  [1024, 1024, 1024],
  [768, 768, 16_384],
]

/** Runs of each, of which the first does not count. */
const RUNS = 12

/**
 * Operations per second of the fastest of some large products, through the same runtime: of each product the median run, for on a shared
 * machine the best of many is a moment that no step of seconds meets.
 */
export async function largeProductRate(threads: number): Promise<number> {
  const runtime = openRuntime({ threads })
  let best = 0
  for (const [rows, inner, columns] of LARGE_PRODUCTS) {
    const types = { a: float32([rows, inner]), b: float32([inner, columns]) }
    const program = buildProgram('large product', types, ({ a, b }) => ({ y: matmul(a, b) }))
    const operands = await runtime.upload(types)
    const session = await runtime.open(program)
    const seconds: number[] = []
    for (let run = 0; run < RUNS; run++) {
      const started = performance.now()
      const { kept } = await session.run(operands, ['y'])
      seconds.push((performance.now() - started) / 1000)
      await runtime.release(Object.values(kept))
    }
    best = Math.max(best, (2 * rows * inner * columns) / median(seconds.slice(1)))
    await session.dispose()
    await runtime.release(Object.values(operands))
  }
  await runtime.dispose()
  return best
}
