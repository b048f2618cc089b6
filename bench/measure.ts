/** @file Measures one size; runs in a process of its own, so that its peak memory is its own. */
import { seededRandom } from '../src/random.ts'
import { grantedCores } from '../src/runtime/threads.ts'
import { largeProductRate } from './matmul-rate.ts'
import { countingLane } from './matrix-work.ts'
import { phasesOf, randomTokens } from './phases.ts'
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

/** Prompt lengths of successive runs: around 60, no two neighbours alike. */
const PROMPT_LENGTHS = [60, 49, 66, 55, 63, 52]

export async function measure(size: SizeName, repeats: number): Promise<Row[]> {
  const threads = grantedCores()
  const rate = await largeProductRate(threads)
  const model = describeSize(size)
  const lanes = await openRandomLanes(model, threads)
  const adapter = randomAdapter(model)
  const phases = phasesOf(model, adapter, { samples: 64, latentTokens: 12, endingTokens: 12 })

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
          return lanes.use((lane) => work(countingLane(lane, counter), randomTokens(model, draws, length), draws))
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
