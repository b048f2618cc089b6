/**
 * @file `npm run bench:quality`: how near a sampler is to its target after how many seconds of training, for the paper's algorithm
 * in PyTorch, for ours as it is, and for ours with what makes it cheaper. All begin with the same model and adapter. See docs/performance.md.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Option, program } from 'commander'
import type { LoraAdapter } from '../../src/adapters/lora.ts'
import { wholeNumber } from '../../src/cli/options.ts'
import { writePicture } from '../../src/evaluation/pictures/render.ts'
import { writeJson } from '../../src/files.ts'
import { type LoadOptions, loadLanguageModel } from '../../src/models/language-model.ts'
import { grantedCores } from '../../src/runtime/threads.ts'
import { machine } from '../machine.ts'
import { findPython } from '../peers/python.ts'
import { makeWorkFolder } from '../peers/work-folder.ts'
import { writeFloat32Checkpoint } from './checkpoint.ts'
import { type ContestantName, contestantNames, settingOf } from './contestants.ts'
import { type Distance, openProblem, type ProblemName, problemNames } from './problems.ts'
import { beside, judge, qualityPicture, type Run, report } from './report.ts'
import { firstAdapter, type Setting, trainOurs, trainPaper } from './train.ts'

/** Where seconds are compared. */
const LEVELS = { 'random-numbers': [0.5, 0.3, 0.2, 0.15, 0.1], infilling: [8, 7, 6, 5, 4, 3, 2] }

const given = program
  .requiredOption('--model <path>', 'a model: a folder, a .gguf file, or owner/name on the hub')
  .addOption(new Option('--problem <name>', 'what is learned').choices(problemNames).default('random-numbers'))
  .addOption(new Option('--contestant <names...>', 'who').choices(contestantNames).default(contestantNames))
  .option('--steps <count>', 'of each run', wholeNumber(2), 60)
  .option('--latents <count>', "of each step; default: the problem's", wholeNumber(2))
  .option('--seed <number>', 'of the first runs', wholeNumber(0), 1)
  .option('--seeds <count>', 'runs of each', wholeNumber(1), 3)
  .option(
    '--beside <file>',
    'what was measured before, of the same problem, by others or with other seeds: shown beside',
  )
  .option('--json <file>', 'write what was measured')
  .option('--picture <path>', 'write a picture, as .svg and .png')
  .parse()
  .opts<{
    model: string
    problem: ProblemName
    contestant: ContestantName[]
    steps: number
    latents?: number
    seed: number
    seeds: number
    beside?: string
    json?: string
    picture?: string
  }>()

const tell = (message: string) => void process.stderr.write(`${message}\n`)
const found = given.contestant.includes('paper') ? findPython(tell) : undefined
if (typeof found === 'string') tell(`the paper's algorithm is left out: ${found}`)
const python = typeof found === 'object' ? found : undefined

const folder = makeWorkFolder()
const model = await loadLanguageModel(given.model, { weights: 'float32' })
const problem = openProblem(given.problem, model, given)
const about = `${model.name}, ${given.problem}, ${given.steps} steps of ${problem.options.samplesPerPrompt} latents`
console.log([machine(), ...Object.entries(python?.versions ?? {}).map((pair) => pair.join(' ')), about].join(', '))
if (python) writeFloat32Checkpoint(join(folder, 'model'), model.path, model.description)

const runs: Run<Distance>[] = []
const samplers: LoraAdapter[] = []
for (let seed = given.seed; seed < given.seed + given.seeds; seed++) {
  const start = await firstAdapter(model, problem, seed)
  for (const contestant of given.contestant) {
    if (contestant === 'paper' && !python) continue
    const { options, held } = settingOf(contestant, given.problem, problem.options)
    const setting = { options, seed, start, snapshots: judgedSteps(options.steps) }
    const taken =
      contestant === 'paper'
        ? await trainPaper(python!, { model, folder }, problem, setting)
        : await ours(setting, held)
    tell(`${contestant}, seed ${seed}: ${taken.snapshots.at(-1)!.seconds.toFixed(1)} s`)
    runs.push({ contestant, seed, snapshots: taken.snapshots })
    samplers.push(taken.adapter)
  }
}
const logPartition = await problem.logPartition?.(samplers)
await model.dispose()

const own = judge(runs, logPartition)
const judged = given.beside ? beside(JSON.parse(readFileSync(given.beside, 'utf8')), own) : own
console.log(report(judged, LEVELS[given.problem]))
if (given.json) writeJson(given.json, { command: 'bench:quality', machine: machine(), ...given, ...judged })
if (given.picture) {
  const { size } = new Set(judged.runs.map(({ seed }) => seed))
  const seeds = size > 1 ? `; mean of ${size} seeds, bars: one standard deviation` : ''
  const subtitle = `${given.problem} with ${model.name}, ${grantedCores()} threads${seeds}`
  await writePicture(given.picture, qualityPicture(judged, 'Quality against seconds', subtitle))
}

/** A run of ours, with a model of its own: each opens its sessions, as the first does. */
async function ours(setting: Setting, held: Pick<LoadOptions, 'weights' | 'lanes'>) {
  const model = await loadLanguageModel(given.model, held)
  try {
    return await trainOurs(model, problem, setting)
  } finally {
    await model.dispose()
  }
}

/** The last step, and some before it, fewer the later. */
function judgedSteps(steps: number): number[] {
  const some: number[] = []
  for (let step = Math.max(1, Math.round(steps / 15)); step < steps; step += Math.ceil(step / 4)) some.push(step)
  return [...some, steps]
}
