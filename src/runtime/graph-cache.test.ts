import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { add, constant, matmul, rmsNorm, softmax, sumAll, transpose } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import { graphCacheFolder } from './graph-folder.ts'
import { float32 } from './host-tensor.ts'
import { openRuntime } from './node.ts'
import type { Program } from './session.ts'

const WIDTH = 32
const LAYERS = 40
const type = { dtype: 'float32', shape: ['rows', WIDTH] } as const

/** Layers with products, norms and softmax, for which the runtime has fusions: large enough to be kept. */
const layered = (seed: number): Program =>
  buildProgram(`layered ${seed}`, { x: type }, ({ x }) => {
    const weight = constant(
      float32(
        [WIDTH, WIDTH],
        Array.from({ length: WIDTH * WIDTH }, (_, i) => Math.sin(i + seed)),
      ),
    )
    const scale = constant(float32([WIDTH], new Float32Array(WIDTH).fill(1)))
    let y = x
    for (let layer = 0; layer < LAYERS; layer++) {
      const narrow = rmsNorm(matmul(y, transpose(transpose(weight, [1, 0]), [1, 0]), { scale: 0.1 }), scale, 1e-6)
      y = add(y, softmax(add(narrow, layer)))
    }
    return { y, sum: sumAll(y) }
  })
const x = float32(
  [5, WIDTH],
  Array.from({ length: 5 * WIDTH }, (_, i) => Math.cos(i)),
)

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flowtune-graphs-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** The outputs of a program whose graph may come from the folder. */
async function outputsOf(program: Program, graphCache?: string) {
  const runtime = openRuntime({ threads: 1, graphCache })
  try {
    const session = await runtime.open(program)
    return (await session.run({ x })).outputs
  } finally {
    await runtime.dispose()
  }
}
const files = () => readdirSync(folder).map((name) => join(folder, name))

test('a graph from disk gives the bits of one that was optimised now, and of one that never was on disk', async () => {
  const fresh = await outputsOf(layered(1), folder)
  const [file] = files()
  const before = readFileSync(file)
  expect(await outputsOf(layered(1), folder)).toEqual(fresh)
  expect(await outputsOf(layered(1), join(folder, 'elsewhere'))).toEqual(fresh)
  expect(readFileSync(file)).toEqual(before)
})

test('another graph has another file', async () => {
  const [one, other] = [await outputsOf(layered(1), folder), await outputsOf(layered(2), folder)]
  expect(one.y.data).not.toEqual(other.y.data)
  expect(files()).toHaveLength(2)
  expect(await outputsOf(layered(1), folder)).toEqual(one)
})

test.each<[damage: string, (bytes: Buffer) => Uint8Array]>([
  ['cut', (bytes) => bytes.subarray(0, bytes.length / 2)],
  ['empty', () => new Uint8Array()],
  ['changed in one bit', (bytes) => bytes.map((byte, i) => (i === 2000 ? byte ^ 1 : byte))],
])('a file that is %s is made anew', async (_, damage) => {
  const fresh = await outputsOf(layered(1), folder)
  const [file] = files()
  const whole = readFileSync(file)
  writeFileSync(file, damage(whole))
  expect(await outputsOf(layered(1), folder)).toEqual(fresh)
  expect(readFileSync(file)).toEqual(whole)
})

test('processes and lanes that open the same graph at once do not disturb each other', async () => {
  const all = await Promise.all(Array.from({ length: 4 }, () => outputsOf(layered(1), folder)))
  for (const outputs of all) expect(outputs).toEqual(all[0])
  expect(files()).toHaveLength(1)
})

test('a folder that cannot be made is done without', async () => {
  const file = join(folder, 'a file')
  writeFileSync(file, '')
  expect(await outputsOf(layered(1), join(file, 'graphs'))).toEqual(await outputsOf(layered(1)))
})

test('files that were used longest ago make room', async () => {
  const old = join(folder, 'old.onnx')
  const recent = join(folder, 'recent.onnx')
  writeFileSync(old, Buffer.alloc(80e6))
  writeFileSync(recent, Buffer.alloc(60e6))
  utimesSync(old, new Date(0), new Date(0))
  await outputsOf(layered(1), folder)
  expect(files()).toHaveLength(2)
  expect(statSync(recent).size).toBe(60e6)
  expect(files()).not.toContain(old)
})

describe('the folder', () => {
  test('is in the cache folder of the user, or what the environment says', () => {
    expect(graphCacheFolder({ XDG_CACHE_HOME: '/caches' })).toBe(join('/caches', 'flowtune', 'graphs'))
    expect(graphCacheFolder({})).toMatch(/\.cache.flowtune.graphs$/)
    expect(graphCacheFolder({ FLOWTUNE_GRAPH_CACHE: '/graphs', XDG_CACHE_HOME: '/caches' })).toBe('/graphs')
  })

  test('is not there where it is switched off', () => {
    expect(graphCacheFolder({ FLOWTUNE_GRAPH_CACHE: 'off' })).toBeUndefined()
  })
})
