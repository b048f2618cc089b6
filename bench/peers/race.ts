/**
 * @file `npm run bench:peers`: whole steps of ours against peers in PyTorch, transformers and PEFT, in turn, on the same random
 * weights, tokens and LoRA. *paper* is the algorithm of the paper's own code, *tuned* what a good engineer would write. See
 * docs/performance.md. Ends with code 1 where a float32 peer computes something else than ours.
 */
import { loadavg } from 'node:os'
import { Option, program } from 'commander'
import { wholeNumber } from '../../src/cli/options.ts'
import { machine } from '../machine.ts'
import { writeResults } from '../results.ts'
import { type SizeName, sizeNames } from '../sizes.ts'
import { type PeerName, peerNames } from './contestant.ts'
import { countedWork } from './counted-work.ts'
import { disagrees, runPairs } from './pairs.ts'
import { writePolicy, writeStep } from './prepare.ts'
import { findPython } from './python.ts'
import { measurementsOf, type Race, report } from './report.ts'
import { makeWorkFolder } from './work-folder.ts'
import { type WorkloadName, workloadNames } from './workloads.ts'

/** 30 layers of 576 with a vocabulary of 49,152, and 12 layers of 768 with one of 50,257. */
const SIZES: SizeName[] = ['smollm2-135m', 'gpt2-small']
/** Programs that want to run, on average over a minute: above this, others are at work. */
const BUSY = 1
type Extent = { size: SizeName[]; workload: WorkloadName[]; pairs: number }
const WHOLE: Extent = { size: SIZES, workload: workloadNames, pairs: 5 }
const QUICK: Extent = { size: ['smollm2-135m'], workload: ['continuation'], pairs: 3 }

const given = program
  .addOption(new Option('--size <names...>', `model sizes (default: ${SIZES.join(' ')})`).choices(sizeNames))
  .addOption(new Option('--workload <names...>', 'steps to race over (default: all)').choices(workloadNames))
  .addOption(new Option('--peer <names...>', 'against whom').choices(peerNames).default(peerNames))
  .option('--pairs <count>', 'runs of ours and of a peer in turn (default: 5)', wholeNumber(1))
  .option('--quick', 'continuation at the first size in three pairs, under 15 minutes')
  .option('--seed <number>', 'of the tokens', wholeNumber(0), 1)
  .option('--json <file>', 'write what was measured to a file, for bench:compare')
  .parse()
  .opts<Partial<Extent> & { peer: PeerName[]; quick?: true; seed: number; json?: string }>()
const extent = { ...(given.quick ? QUICK : WHOLE), ...given }

const tell = (message: string) => void process.stderr.write(`${message}\n`)
const found = findPython(tell)
const python = typeof found === 'string' ? undefined : found
if (typeof found === 'string') tell(`no peers, ours runs alone: ${found}`)
const versions = Object.entries(python?.versions ?? {}).map(([name, version]) => `${name} ${version}`)
const [load] = loadavg()
if (load > BUSY) tell(`the machine is not quiet (load ${load.toFixed(1)}): ratios will not be those of a quiet one`)
console.log([machine(), ...versions, `seed ${given.seed}`].join(', '))

const folder = makeWorkFolder()

const races: Race[] = []
for (const size of extent.size) {
  tell(`writing random weights of ${size}`)
  const { model, lora } = writePolicy(folder, size)
  for (const workload of extent.workload) {
    tell(`${workload}, ${size}`)
    let number = 0
    const nextStep = () => writeStep(folder, workload, model, { seed: given.seed, number: number++ })
    const counted = countedWork(model, lora, nextStep())
    const runs = await runPairs(python, { folder, peers: given.peer, pairs: extent.pairs, nextStep, tell })
    races.push({ ...runs, size, workload, counted })
    console.log(`\n${report(races.at(-1)!)}`)
  }
}

if (given.json) {
  const details = { versions: python?.versions ?? null, seed: given.seed, load, races }
  writeResults(given.json, {
    ...{ command: 'bench:peers', machine: machine() },
    ...{ measurements: races.flatMap(measurementsOf), details },
  })
}
if (races.some(({ peers }) => peers.some(disagrees))) process.exitCode = 1
