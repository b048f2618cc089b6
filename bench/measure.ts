/** @file Measures one size; runs in a process of its own, so that its peak memory is its own. */
import type { LearnBatch } from '../src/gflownet/learn-step.ts'
import { learnStep } from '../src/gflownet/learn-step.ts'
import type { Lane } from '../src/models/lane.ts'
import { type Draws, seededRandom } from '../src/random.ts'
import { posterior } from '../src/rewards/posterior.ts'
import type { Reward } from '../src/rewards/reward.ts'
import { tempered } from '../src/rewards/tempered.ts'
import { grantedCores } from '../src/runtime/threads.ts'
import { sampleLatents } from '../src/sampling/sample.ts'
import type { Support } from '../src/sampling/support.ts'
import type { Tokenizer } from '../src/tokenizer/tokenizer.ts'
import { largeProductRate } from './matmul-rate.ts'
import { countingLane } from './matrix-work.ts'
import { describeSize, openRandomLanes, randomAdapter, type SizeName } from './sizes.ts'

/** Time and work of one prompt's part of a step. `prompts` ran side by side; times are divided by their number. */
export type Row = {
  size: SizeName
  phase: string
  prompts: number
  /** Of the first run, which opens the session and touches memory for the first time. */
  firstSeconds: number
  /** Of the other runs, one by one. */
  seconds: number[]
  medianSeconds: number
  gigaOperations: number
  gigaOperationsPerSecond: number
  /** Of the rate of one large product. */
  rateFraction: number
  /** Peak resident memory of the process until the end of this phase. */
  peakBytes: number
}

const SAMPLES = 64
const LATENT_TOKENS = 12
const ENDING_TOKENS = 12
/** Prompt lengths of successive runs: around 60, no two neighbours alike. */
const PROMPT_LENGTHS = [60, 49, 66, 55, 63, 52]
/** One phase of a step, for one prompt. */
type Phase = (lane: Lane, prompt: number[], draws: Draws) => Promise<unknown>

export async function measure(size: SizeName, repeats: number): Promise<Row[]> {
  const threads = grantedCores()
  const rate = await largeProductRate(threads)
  const model = describeSize(size)
  const lanes = await openRandomLanes(model, threads)
  const adapter = randomAdapter(model)
  const { vocabulary } = model.dimensions
  const support: Support = { stop: 0, minTokens: 0, maxTokens: LATENT_TOKENS }
  const tokens = (draws: Draws, count: number) => Array.from({ length: count }, () => 1 + draws.integer(vocabulary - 1))
  const latents = (draws: Draws) => Array.from({ length: SAMPLES }, () => tokens(draws, LATENT_TOKENS))

  const sampling =
    (int8: boolean): Phase =>
    (lane, prompt, draws) => {
      const whole = { ...support, minTokens: LATENT_TOKENS } // none may end early
      return sampleLatents(
        lane,
        { model, adapter, support: whole, int8 },
        { prompt, temperatures: Array(SAMPLES).fill(1), draws },
      )
    }
  const rewarding =
    (reward: (draws: Draws) => Reward): Phase =>
    (lane, prompt, draws) => {
      const tokenizer = undefined as unknown as Tokenizer // prompt and ending are tokens already
      return reward(draws).score({ lane, model, tokenizer, support, prompt }, latents(draws))
    }
  const learning: Phase = (lane, prompt, draws) => {
    const drawn = latents(draws)
    const logRewards = drawn.map(() => Array.from({ length: LATENT_TOKENS + 1 }, () => -40 + draws.normal()))
    const batch: LearnBatch = { prompt, latents: drawn, logRewards, logPartition: 0 }
    return learnStep(lane, { model, adapter, support, objective: { name: 'subtrajectory-balance', lambda: 1 } }, batch)
  }
  const phases: Record<string, Phase> = {
    sampling: sampling(false),
    'sampling, int8': sampling(true),
    'reward, tempered': rewarding(() => tempered()),
    'reward, ending at every prefix': rewarding((draws) => posterior({ ending: tokens(draws, ENDING_TOKENS) })),
    learning,
  }

  const rows: Row[] = []
  for (const [phase, work] of Object.entries(phases)) {
    const runs: { seconds: number; operations: number }[] = []
    for (let run = 0; run <= repeats; run++) {
      const length = PROMPT_LENGTHS[run % PROMPT_LENGTHS.length]
      const counter = { operations: 0 }
      const started = performance.now()
      await Promise.all(
        Array.from({ length: lanes.count }, (_, place) => {
          const draws = seededRandom(1).at(phase, run, place)
          return lanes.use((lane) => work(countingLane(lane, counter), tokens(draws, length), draws))
        }),
      )
      const seconds = (performance.now() - started) / 1000 / lanes.count
      runs.push({ seconds, operations: counter.operations / lanes.count })
    }
    const [first, ...rest] = runs
    const { seconds, operations } = rest.toSorted((a, b) => a.seconds - b.seconds)[Math.floor(rest.length / 2)]
    rows.push({
      size,
      phase,
      prompts: lanes.count,
      firstSeconds: first.seconds,
      seconds: rest.map(({ seconds }) => seconds),
      medianSeconds: seconds,
      gigaOperations: operations / 1e9,
      gigaOperationsPerSecond: operations / 1e9 / seconds,
      rateFraction: operations / seconds / rate,
      peakBytes: process.resourceUsage().maxRSS * 1024,
    })
  }
  await lanes.dispose()
  return rows
}

if (process.send) {
  const [size, repeats] = process.argv.slice(2)
  process.send(await measure(size as SizeName, Number(repeats)))
  process.disconnect()
}
