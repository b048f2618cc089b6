/**
 * @file `npm run bench:scaling`: what each phase of a step costs as one size grows and the others stay. The power by which the
 * cost grew over the last doubling stands beside it: 1 is linear, and nothing should be much above.
 */
import Table from 'cli-table3'
import { program } from 'commander'
import { wholeNumber } from '../src/cli/options.ts'
import { architectures } from '../src/models/architectures.ts'
import { seededRandom } from '../src/random.ts'
import { grantedCores } from '../src/runtime/threads.ts'
import { machine } from './machine.ts'
import { countingLane } from './matrix-work.ts'
import { phasesOf, randomTokens } from './phases.ts'
import { llama, openRandomLanes, randomAdapter } from './sizes.ts'
import { median } from './statistics.ts'

const BASE = { samples: 32, 'latent tokens': 8, 'prompt tokens': 64, layers: 6, vocabulary: 16_384 }
type Name = keyof typeof BASE
const VALUES: Record<Name, number[]> = {
  samples: [32, 64, 128, 256],
  'latent tokens': [8, 16, 32, 64],
  'prompt tokens': [64, 128, 256, 512],
  layers: [3, 6, 12, 24],
  vocabulary: [16_384, 32_768, 65_536, 131_072],
}
const ENDING = 8

const { repeats } = program
  .option('--repeats <count>', 'runs of each, after one that does not count', wholeNumber(1), 3)
  .parse()
  .opts<{ repeats: number }>()

console.log(`${machine()}; processor seconds, of all cores together: median of ${repeats}`)
for (const [name, values] of Object.entries(VALUES) as [Name, number[]][]) {
  const found: Record<string, Cost>[] = []
  for (const value of values) found.push(await costs({ ...BASE, [name]: value }))
  const table = new Table({
    head: [name, ...values.map(String), 'power', 'power of GFLOP'],
    style: { head: [], border: [] },
  })
  for (const phase of Object.keys(found[0])) {
    const own = found.map((costs) => costs[phase])
    const power = (of: (cost: Cost) => number) => Math.log2(of(own.at(-1)!) / of(own.at(-2)!)).toFixed(2)
    table.push([
      phase,
      ...own.map(({ seconds }) => seconds.toFixed(2)),
      power(({ seconds }) => seconds),
      power(({ operations }) => operations),
    ])
  }
  console.log(`${table}`)
}

type Cost = { seconds: number; operations: number }

async function costs(sizes: Record<Name, number>): Promise<Record<string, Cost>> {
  const shape = { layers: sizes.layers, width: 256, heads: 8, keyValueHeads: 4, inner: 688, context: 2048 }
  const config = llama({ ...shape, vocabulary: sizes.vocabulary })
  const described = architectures.llama.describe(config, 'scaling')
  const model = { ...described, storage: 'float32', recompute: 'nothing' } as const
  const lanes = await openRandomLanes(model, grantedCores())
  const phases = phasesOf(model, randomAdapter(model), {
    ...{ samples: sizes.samples, latentTokens: sizes['latent tokens'], endingTokens: ENDING },
  })
  const measured: Record<string, Cost> = {}
  for (const [name, phase] of Object.entries(phases)) {
    const counter = { operations: 0 }
    const seconds: number[] = []
    for (let run = 0; run <= repeats; run++) {
      const draws = seededRandom(1).at(name, run)
      const prompt = randomTokens(model, draws, sizes['prompt tokens'])
      const before = process.cpuUsage()
      await lanes.use((lane) => phase(run === 0 ? countingLane(lane, counter) : lane, prompt, draws))
      const { user, system } = process.cpuUsage(before)
      if (run > 0) seconds.push((user + system) / 1e6)
    }
    measured[name] = { seconds: median(seconds), operations: counter.operations }
  }
  await lanes.dispose()
  return measured
}
