/** @file How fast this machine is, in a few seconds: large products, copies of memory, and the learn step of the embedded model. */
import { initialAdapter } from '../adapters/lora.ts'
import { learnStep } from '../gflownet/learn-step.ts'
import { loadLanguageModel } from '../models/language-model.ts'
import { seededRandom } from '../random.ts'
import { float32 } from '../runtime/host-tensor.ts'
import { openRuntime } from '../runtime/node.ts'
import type { Device } from '../runtime/providers.ts'
import { embeddedModel } from '../tasks/embedded.ts'
import { matmul, sumAll } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'

export type Speed = {
  /** Of products of large float32 matrices. */
  gigaOperationsPerSecond: number
  /** Bytes read and bytes written, of one thread. */
  copyBytesPerSecond: number
  /** Tokens of prompts and latents that went forward and backward through the embedded model. */
  learnTokensPerSecond: number
}

const SIZE = 1024 // rows and columns of a product
const PRODUCTS = 4 // in one run, so that asking for it costs nothing beside it
const COPIED_FLOATS = 32 << 20 // 128 MiB: more than any cache holds
const PROMPT_TOKENS = 32
const LATENTS = 32
const LATENT_TOKENS = 12
const RANK = 32

/** @param seconds that the whole test takes, about */
export async function speedTest(options: { device: Device; threads: number }, seconds: number): Promise<Speed> {
  const part = seconds / 3
  return {
    gigaOperationsPerSecond: await productRate(options, part),
    copyBytesPerSecond: copyRate(part),
    learnTokensPerSecond: await learnRate(options, part),
  }
}

async function productRate(options: { device: Device; threads: number }, seconds: number): Promise<number> {
  const square = { dtype: 'float32' as const, shape: [SIZE, SIZE] }
  const program = buildProgram('products', { x: square, y: square }, ({ x, y }) => {
    let product = x
    for (let i = 0; i < PRODUCTS; i++) product = matmul(product, y)
    return { sum: sumAll(product) }
  })
  const runtime = openRuntime(options)
  try {
    const numbers = () => float32([SIZE, SIZE], new Float32Array(SIZE * SIZE).fill(1 / SIZE))
    const bound = await runtime.upload({ x: numbers(), y: numbers() }, { move: true })
    const session = await runtime.open(program, bound)
    const rate = await runsPerSecond(() => session.run({}), seconds)
    return (rate * PRODUCTS * 2 * SIZE ** 3) / 1e9
  } finally {
    await runtime.dispose()
  }
}

function copyRate(seconds: number): number {
  const from = new Float32Array(COPIED_FLOATS).fill(1)
  const to = new Float32Array(COPIED_FLOATS)
  to.set(from) // the first time, the system finds the memory
  const started = performance.now()
  let copies = 0
  for (; performance.now() - started < seconds * 1000; copies++) to.set(from)
  return (copies * 2 * from.byteLength) / ((performance.now() - started) / 1000)
}

async function learnRate(options: { device: Device; threads: number }, seconds: number): Promise<number> {
  const model = await loadLanguageModel(embeddedModel, options)
  try {
    const { description, lanes } = model
    const { vocabulary } = description.dimensions
    const random = seededRandom(0)
    const draws = random.at('speed test')
    const tokens = (count: number) => Array.from({ length: count }, () => 3 + draws.integer(vocabulary - 3))
    const latents = Array.from({ length: LATENTS }, () => tokens(LATENT_TOKENS))
    const logRewards = latents.map((latent) => [...latent, 0].map(() => -20 + draws.normal()))
    const batch = { prompt: tokens(PROMPT_TOKENS), latents, logRewards, logPartition: 0 }
    const lora = { rank: RANK, alpha: RANK, targets: description.defaultTargets }
    const setting = {
      model: description,
      adapter: initialAdapter(lora, description.linears, random),
      support: { stop: 0, minTokens: 0, maxTokens: LATENT_TOKENS },
      objective: { name: 'subtrajectory-balance' as const, lambda: 1 },
    }
    const batches = Array.from({ length: lanes.count }, () => batch)
    const learn = () => lanes.each(batches, (lane, one) => learnStep(lane, setting, one))
    const [{ loss }] = await learn()
    if (!Number.isFinite(loss)) throw new Error(`the loss of a learn step is ${loss}`)
    const rate = await runsPerSecond(learn, seconds)
    return rate * lanes.count * (PROMPT_TOKENS + LATENTS * LATENT_TOKENS)
  } finally {
    await model.dispose()
  }
}

/** The first run, which prepares what the others find ready, does not count. */
async function runsPerSecond(run: () => Promise<unknown>, seconds: number): Promise<number> {
  await run()
  const started = performance.now()
  let runs = 0
  do {
    await run()
    runs++
  } while (performance.now() - started < seconds * 1000)
  return runs / ((performance.now() - started) / 1000)
}
