import type { Command } from 'commander'
import { UserError } from '../errors.ts'
import { seededRandom } from '../random.ts'
import { drawScored } from '../tasks/draw.ts'
import { tasks } from '../tasks/index.ts'
import { resolvePrompts, supportOf } from '../trainers/prompts.ts'
import { type CommonOptions, wholeNumber, withCommonOptions, withExamples } from './options.ts'
import { downloadProgress } from './progress.ts'
import { type SamplerOptions, withSampler } from './sampler.ts'
import { shownEnd } from './screen.ts'
import { oneLine, plainTable, printJson, type Terminal } from './terminal.ts'

/** Besides these, the columns of the tasks are options: what to sample for. */
type SampleOptions = CommonOptions & SamplerOptions & { samples: number; seed: number } & Record<string, unknown>

export function defineSample(program: Command, terminal: Terminal): void {
  const command = program
    .command('sample')
    .description(
      'draw from a trained sampler, or from a model as it is; log q and log R (nats) count the terminal token, which the JSON leaves out of text and tokens',
    )
    .argument('[run]', 'the run folder whose adapter to use')
    .option('--model <model>', 'a model without a run, or where the model of the run is now')
    .option('--adapter <folder>', 'a PEFT folder to use')
    .option('--samples <number>', 'how many', wholeNumber(1), 8)
    .option('--seed <number>', 'every random draw follows from it', wholeNumber(0), 0)
  const columns = Object.assign({}, ...Object.values(tasks).map((task) => task.columns)) as Record<string, string>
  for (const [column, what] of Object.entries(columns)) command.option(`--${column} <text>`, what)
  withExamples(withCommonOptions(command), [
    'sample runs/infilling-1 --beginning "Tom had a dog." --ending "They were happy." --samples 16',
    'sample --model models/stories260K --beginning "Tom had a dog." --ending "They were happy." --json',
  ]).action((folder: string | undefined, options: SampleOptions) =>
    sample(folder, { ...options, onDownload: downloadProgress(terminal.stderr) }, terminal),
  )
}

const sample = (folder: string | undefined, options: SampleOptions, terminal: Terminal) =>
  withSampler(folder, options, async ({ task, model, adapter, training }) => {
    const example = Object.fromEntries(Object.keys(task.columns).map((column) => [column, textOf(column, options)]))
    const { maxTokens } = training.latent
    const [prompt] = resolvePrompts([task.prompt(example, model)], { model, maxTokens })
    const support = supportOf(training, model)
    const draws = seededRandom(options.seed).at('sample')
    const samples = await drawScored({ model, adapter, support }, prompt, { samples: options.samples, draws })
    if (options.json) return printJson(terminal, samples)
    const end = shownEnd(model, training)
    const rows = samples.map(({ text, logQ, logReward }) => [
      logQ.toFixed(1),
      logReward.toFixed(1),
      oneLine(text + end),
    ])
    const table = plainTable([['log q', 'log R', ''], ...rows], { colAligns: ['right', 'right', 'left'] })
    terminal.stdout.write(`${table}\n`)
  })

function textOf(column: string, options: SampleOptions): string {
  const text = options[column]
  if (typeof text === 'string' && text.trim() !== '') return text
  throw new UserError({ what: `the ${column} is missing`, fix: `give it with --${column} "…"` })
}
