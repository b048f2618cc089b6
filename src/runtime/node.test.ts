import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { add, constant, gather, matmul, mul, sumAll, zeros } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import { float32, int64 } from './host-tensor.ts'
import { openRuntime } from './node.ts'
import { type Program, type Runtime, rowsOf } from './session.ts'

const vectorOf = (size: number | string): TensorType => ({ dtype: 'float32', shape: [size] })

/** x + 1 */
const increment = buildProgram('increment', { x: vectorOf('n') }, ({ x }) => ({ y: add(x, 1) }))

/** Takes elements of x; an index out of range is noticed only when it runs. */
const pick = buildProgram('pick', { x: vectorOf('n'), index: { dtype: 'int64', shape: ['k'] } }, ({ x, index }) => ({
  y: gather(x, index),
}))

/** A chain of products of square matrices: `steps` · 2 · size³ operations on one thread. → size · (1 + size · x)^steps */
const long = (size: number, steps: number): Program =>
  buildProgram('long', { x: vectorOf(1) }, ({ x }) => {
    const factor = add(zeros([size, size]), add(x, 1 / size))
    let y: Tensor = add(zeros([size, size]), 1 / size)
    for (let i = 0; i < steps; i++) y = matmul(y, factor)
    return { y: sumAll(y) }
  })

let runtime: Runtime
beforeAll(() => {
  runtime = openRuntime({ threads: 1 })
})
afterAll(() => runtime.dispose())

describe('errors cross the thread', () => {
  test('of a run, with the program and the message of ONNX Runtime', async () => {
    const session = await runtime.open(pick)
    const run = session.run({ x: float32([3]), index: int64([1], [7]) })
    await expect(run).rejects.toThrow(/^pick: .*(out of data bounds|out of bounds|indices element).*7/s)
  })

  test('and the session still works after one', async () => {
    const session = await runtime.open(pick)
    await expect(session.run({ x: float32([3]), index: int64([1], [7]) })).rejects.toThrow('pick')
    const { outputs } = await session.run({ x: float32([3], [4, 5, 6]), index: int64([1], [2]) })
    expect(outputs.y.data).toEqual(Float32Array.of(6))
  })

  test('of a program that cannot be opened, by its name', async () => {
    const damaged = { ...increment, name: 'damaged', bytes: increment.bytes.slice(0, 40) }
    await expect(runtime.open(damaged)).rejects.toThrow(/^damaged: /)
  })

  test('and an input that does not fit never reaches the thread', async () => {
    const session = await runtime.open(increment)
    await expect(session.run({ x: int64([2], [1, 2]) })).rejects.toThrow('increment, input "x": int64 [2] given')
    await expect(session.run({})).rejects.toThrow('increment, input "x": missing')
  })

  test('a closed session is refused', async () => {
    const session = await runtime.open(increment)
    await session.dispose()
    await expect(session.run({ x: float32([1]) })).rejects.toThrow('the session is closed')
  })
})

test('the event loop keeps turning while a long program runs', async () => {
  const session = await runtime.open(long(700, 30))
  const started = performance.now()
  let last = started
  const gaps: number[] = []
  const timer = setInterval(() => {
    gaps.push(performance.now() - last)
    last = performance.now()
  }, 2)
  await session.run({ x: float32([1], [0]) })
  clearInterval(timer)
  const elapsed = performance.now() - started
  expect(elapsed).toBeGreaterThan(50)
  expect(gaps.length).toBeGreaterThan(10)
  expect(Math.max(...gaps)).toBeLessThan(elapsed / 2)
  await session.dispose()
})

test('runs are carried out in the order of asking', async () => {
  const [slow, quick] = [await runtime.open(long(300, 10)), await runtime.open(increment)]
  const order: string[] = []
  await Promise.all([
    slow.run({ x: float32([1], [0]) }).then(() => order.push('slow')),
    quick.run({ x: float32([1], [0]) }).then(() => order.push('quick')),
  ])
  expect(order).toEqual(['slow', 'quick'])
})

describe('disposing a runtime', () => {
  test('rejects what is waiting and whatever is asked later', async () => {
    const other = openRuntime({ threads: 1 })
    const session = await other.open(long(600, 120))
    const waiting = [session.run({ x: float32([1], [0]) }), session.run({ x: float32([1], [0]) })]
    const outcomes = Promise.allSettled(waiting)
    const started = performance.now()
    const disposed = other.dispose()
    for (const outcome of await outcomes)
      expect(outcome).toMatchObject({ status: 'rejected', reason: { message: 'the runtime was disposed' } })
    expect(performance.now() - started).toBeLessThan(500) // it does not wait for the end of the run
    await expect(session.run({ x: float32([1], [0]) })).rejects.toThrow('the runtime was disposed')
    await expect(other.open(increment)).rejects.toThrow('the runtime was disposed')
    await disposed
  })

  test.skipIf(process.platform !== 'linux')('ends its thread (skipped where /proc does not list threads)', async () => {
    const threads = () => readdirSync('/proc/self/task').length
    await (await runtime.open(increment)).run({ x: float32([1]) }) // whatever is started once is running
    const before = threads()
    const others = Array.from({ length: 3 }, () => openRuntime({ threads: 1 }))
    for (const other of others) await other.open(increment)
    expect(threads()).toBeGreaterThanOrEqual(before + 3)
    for (const other of others) await other.dispose()
    // Node itself may have started a thread for its files meanwhile, so not every one is ours.
    for (let i = 0; i < 50 && threads() >= before + others.length; i++) await sleep(20)
    expect(threads()).toBeLessThan(before + others.length)
  })

  test('is not needed for a process to end: an idle runtime does not keep it alive', async () => {
    const script = `
      import { openRuntime } from ${JSON.stringify(new URL('./node.ts', import.meta.url).href)}
      const runtime = openRuntime({ threads: 1 })
      await runtime.upload({ x: { dtype: 'float32', shape: [1], data: new Float32Array(1) } })
      console.log('uploaded')`
    const root = fileURLToPath(new URL('../..', import.meta.url))
    const node = ['--import', 'tsx', '--input-type=module', '--eval', script]
    const { stdout } = await promisify(execFile)(process.execPath, node, { cwd: root, timeout: 20_000 })
    expect(stdout).toBe('uploaded\n')
  })
})

describe('resident tensors', () => {
  test('are read by runs without being sent again', async () => {
    const { x } = await runtime.upload({ x: float32([2], [1, 2]) })
    const session = await runtime.open(increment)
    for (let i = 0; i < 2; i++) expect((await session.run({ x })).outputs.y.data).toEqual(Float32Array.of(2, 3))
    await runtime.release([x])
  })

  test('may be bound when a session is opened', async () => {
    const { x } = await runtime.upload({ x: float32([2], [1, 2]) })
    const session = await runtime.open(increment, { x })
    expect((await session.run({})).outputs.y.data).toEqual(Float32Array.of(2, 3))
    await session.dispose()
    await runtime.release([x])
  })

  test('once released are refused, by runs and by sessions', async () => {
    const { x } = await runtime.upload({ x: float32([2], [1, 2]) })
    const session = await runtime.open(increment)
    await runtime.release([x])
    const refusal = 'increment: a resident tensor was used after its release'
    await expect(session.run({ x })).rejects.toThrow(refusal)
    await expect(runtime.open(increment, { x })).rejects.toThrow(refusal)
  })

  test('an upload copies, unless it is told to move', async () => {
    const [kept, moved] = [Float32Array.of(1, 2), Float32Array.of(3, 4)]
    const { x } = await runtime.upload({ x: float32([2], kept) })
    kept[0] = 100
    const { y } = await runtime.upload({ y: float32([2], moved) }, { move: true })
    expect(moved.length).toBe(0)
    const session = await runtime.open(increment)
    expect((await session.run({ x })).outputs.y.data).toEqual(Float32Array.of(2, 3))
    expect((await session.run({ x: y })).outputs.y.data).toEqual(Float32Array.of(4, 5))
  })

  test('a program that runs once leaves what it made, which can be read and is still there', async () => {
    const { x } = await runtime.upload({ x: float32([3], [1, 2, 3]) })
    const made = await runtime.make(increment, { x })
    expect(made.y).toMatchObject({ dtype: 'float32', shape: [3] })
    const read = async () => [...(await runtime.read(made)).y.data]
    expect(await read()).toEqual([2, 3, 4])
    expect(await read()).toEqual([2, 3, 4])
    await expect(runtime.make(increment, {})).rejects.toThrow(/input "x": missing/)
    await runtime.release([made.y])
    await expect(runtime.read(made)).rejects.toThrow('after its release')
  })

  test('kept outputs stay where programs run, and come back by being read again', async () => {
    const session = await runtime.open(increment)
    let x = (await session.run({ x: float32([3], [1, 2, 3]) }, ['y'])).kept.y
    expect(x).toMatchObject({ dtype: 'float32', shape: [3] })
    for (let i = 0; i < 3; i++) {
      const { kept, outputs } = await session.run({ x }, ['y'])
      expect(outputs).toEqual({})
      await runtime.release([x])
      x = kept.y
    }
    expect((await session.run({ x })).outputs.y.data).toEqual(Float32Array.of(6, 7, 8))
    await runtime.release([x])
    await expect(session.run({ x })).rejects.toThrow('after its release')
  })
})

test('two runtimes work at once and know nothing of each other', async () => {
  const other = openRuntime({ threads: 1 })
  const sessions = [await runtime.open(long(200, 20)), await other.open(long(200, 20))]
  const at = (x: number) => ({ x: float32([1], [x]) })
  const results = await Promise.all([0, 1e-5, 2e-5].flatMap((x) => sessions.map((session) => session.run(at(x)))))
  const values = results.map(({ outputs }) => Number(outputs.y.data[0]))
  for (const [i, x] of [0, 0, 1e-5, 1e-5, 2e-5, 2e-5].entries())
    expect(values[i]).toBeCloseTo(200 * (1 + 200 * x) ** 20, 1)

  await other.dispose()
  expect(Number((await sessions[0].run(at(0))).outputs.y.data[0])).toBe(values[0])
})

test('opening and disposing 30 sessions keeps nothing of them', async () => {
  const WEIGHTS = 3_000_000 // 12 MB in each program: 30 that are kept would be 360 MB
  const MOST_BYTES = 150 << 20 // what the collector has not yet taken back of the copies that were sent
  const program = buildProgram('heavy', { x: vectorOf(WEIGHTS) }, ({ x }) => ({
    y: sumAll(mul(x, constant(float32([WEIGHTS])))),
  }))
  const { x } = await runtime.upload({ x: float32([WEIGHTS]) }, { move: true })
  const openAndDispose = async (times: number) => {
    for (let i = 0; i < times; i++) {
      const session = await runtime.open(program, { x })
      await session.run({})
      await session.dispose()
    }
  }
  await openAndDispose(10) // until the allocator has what it needs
  const before = process.memoryUsage.rss()
  await openAndDispose(30)
  expect(process.memoryUsage.rss() - before).toBeLessThan(MOST_BYTES)
  await runtime.release([x])
})

describe('room that programs write to', () => {
  const double = buildProgram('double', { x: { dtype: 'float32', shape: ['n', 2] } }, ({ x }) => ({
    y: mul(x, 2),
    sum: sumAll(x),
  }))

  test('begins with zeros and takes the rows of a run where they are wanted', async () => {
    const { table } = await runtime.allocate({ table: [4, 2] })
    const session = await runtime.open(double)
    const written = await session.run({ x: float32([2, 2], [1, 2, 3, 4]) }, [], { y: rowsOf(table, 1, 3) })
    expect(Object.keys(written.outputs)).toEqual(['sum'])
    const read = async () => [...((await runtime.read({ table })).table.data as Float32Array)]
    expect(await read()).toEqual([0, 0, 2, 4, 6, 8, 0, 0])

    const { outputs } = await session.run({ x: rowsOf(table, 2, 4) }, [], { y: rowsOf(table, 0, 2) })
    expect([...(outputs.sum.data as Float32Array)]).toEqual([14])
    expect(await read()).toEqual([12, 16, 0, 0, 6, 8, 0, 0])
    await runtime.release([table])
    await expect(session.run({ x: rowsOf(table, 0, 1) })).rejects.toThrow('used after its release')
  })

  test('has no rows beyond its end', async () => {
    const { table } = await runtime.allocate({ table: [2, 2] })
    const session = await runtime.open(double)
    await expect(session.run({ x: rowsOf(table, 1, 3) })).rejects.toThrow('double: ')
    await expect(session.run({ x: float32([2, 2]) }, [], { y: rowsOf(table, 1, 3) })).rejects.toThrow('double: ')
    await expect(session.run({ x: float32([2, 2]) }, [], { y: rowsOf(table, 0, 1) })).rejects.toThrow('double: ')
  })
})

test('what is released is gone, and what shares nothing with it stays', async () => {
  const { a, b } = await runtime.upload({ a: float32([2], [1, 2]), b: float32([2], [3, 4]) })
  const session = await runtime.open(increment)
  const { kept } = await session.run({ x: a }, ['y'])
  await runtime.release([a])
  expect((await runtime.read({ y: kept.y, b })).y.data).toEqual(Float32Array.of(2, 3))
  await runtime.release([kept.y, b])
})
