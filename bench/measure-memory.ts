/** @file One row of memory.ts, in the process that it is measured in. */
import { learnStep } from '../src/gflownet/learn-step.ts'
import type { Recomputation } from '../src/models/architecture.ts'
import { expectedBytes, storedBytes } from '../src/models/memory.ts'
import { openTape } from '../src/models/tape.ts'
import { seededRandom } from '../src/random.ts'
import { tempered } from '../src/rewards/tempered.ts'
import { sizeOf } from '../src/runtime/host-tensor.ts'
import { grantedCores } from '../src/runtime/threads.ts'
import { sampleLatents } from '../src/sampling/sample.ts'
import type { Storage } from '../src/tensor/ops/stored.ts'
import type { Tokenizer } from '../src/tokenizer/tokenizer.ts'
import { describeSize, openRandomLanes, randomAdapter, type SizeName } from './sizes.ts'

export type MemoryRow = {
  size: SizeName
  storage: Storage
  recompute: Recomputation
  /** Of the weights alone. */
  storedBytes: number
  /** Peak while loading, less what the process held before. */
  loadingBytes: number
  /** Peak of the process after two steps. */
  peakBytes: number
  expectedBytes: number
  loadSeconds: number
  sampleSeconds: number
  rewardSeconds: number
  learnSeconds: number
}

const SAMPLES = 64
const SAMPLED = 48 // a quarter is replayed, as in a run where nothing else is said
const LATENT_TOKENS = 12
const PROMPT_TOKENS = 60

const peak = () => process.resourceUsage().maxRSS * 1024

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return (performance.now() - started) / 1000
}

async function measure(size: SizeName, storage: Storage, recompute: Recomputation): Promise<MemoryRow> {
  const model = describeSize(size, { storage, recompute })
  const before = process.memoryUsage.rss()
  const started = performance.now()
  const lanes = await openRandomLanes(model, grantedCores())
  const loadSeconds = (performance.now() - started) / 1000
  const loadingBytes = peak() - before

  const adapter = randomAdapter(model)
  const draws = seededRandom(1).at('memory')
  const tokens = (count: number) =>
    Array.from({ length: count }, () => 1 + draws.integer(model.dimensions.vocabulary - 1))
  const support = { stop: 0, minTokens: 0, maxTokens: LATENT_TOKENS }
  const seconds = { sample: 0, reward: 0, learn: 0 }
  for (let step = 0; step < 2; step++) {
    const prompt = tokens(PROMPT_TOKENS)
    const replayed = Array.from({ length: SAMPLES - SAMPLED }, () => tokens(LATENT_TOKENS))
    const tokenizer = undefined as unknown as Tokenizer // everything is tokens already
    await lanes.use(async (lane) => {
      const room = { prompt: PROMPT_TOKENS, tokens: SAMPLED * LATENT_TOKENS, withOthers: true }
      const tape = recompute === 'nothing' ? await openTape(lane, { model, adapter }, room) : undefined
      let sampled: number[][] = []
      seconds.sample = await timed(async () => {
        sampled = await sampleLatents(
          lane,
          { model, adapter, support: { ...support, minTokens: LATENT_TOKENS } },
          { prompt, temperatures: Array(SAMPLED).fill(1), draws, tape },
        )
      })
      const latents = [...sampled, ...replayed]
      seconds.reward = await timed(() => tempered().score({ lane, model, tokenizer, support, prompt }, latents))
      const logRewards = latents.map((latent) => [0, ...latent].map(() => -40 + draws.normal()))
      seconds.learn = await timed(() =>
        learnStep(
          lane,
          { model, adapter, support, objective: { name: 'subtrajectory-balance', lambda: 1 } },
          { prompt, latents, logRewards, logPartition: 0 },
          tape,
        ),
      )
    })
  }
  await lanes.dispose()
  const work = {
    prompts: 1,
    promptTokens: PROMPT_TOKENS,
    samples: SAMPLES,
    latentTokens: LATENT_TOKENS,
    endingTokens: 0,
    taped: true,
    trained: Object.values(adapter.weights).reduce((sum, { shape }) => sum + sizeOf(shape), 0),
  }
  return {
    ...{ size, storage, recompute, loadingBytes, loadSeconds },
    storedBytes: storedBytes(model, storage),
    peakBytes: peak(),
    expectedBytes: expectedBytes(model, { storage, recompute }, work),
    sampleSeconds: seconds.sample,
    rewardSeconds: seconds.reward,
    learnSeconds: seconds.learn,
  }
}

const [size, storage, recompute] = process.argv.slice(2)
process.send?.(await measure(size as SizeName, storage as Storage, recompute as Recomputation))
process.disconnect?.()
