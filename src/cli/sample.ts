import type { Command } from 'commander'
import { UserError } from '../errors.ts'
import { seededRandom } from '../random.ts'
import { drawScored } from '../tasks/draw.ts'
import { tasks } from '../tasks/index.ts'
import type { Example, Task } from '../tasks/task.ts'
import { promptsOf } from '../tasks/task-run.ts'
import { supportOf } from '../trainers/prompts.ts'
import {
  type CommonOptions,
  field,
  flagOf,
  refuseTogether,
  wholeNumber,
  withCommonOptions,
  withExamples,
} from './options.ts'
import { downloadProgress } from './progress.ts'
import { type SamplerOptions, withSampler } from './sampler.ts'
import { shownEnd } from './screen.ts'
import { oneLine, plainTable, printJson, type Terminal } from './terminal.ts'

/** Besides these, the columns of the tasks are options: what to sample for. */
type SampleOptions = CommonOptions &
  SamplerOptions & { samples: number; seed: number; field?: Record<string, string> } & Record<string, unknown>

export function defineSample(program: Command, terminal: Terminal): void {
  const command = program
    .command('sample')
    .description(
      'draw from a trained sampler, or from a model as it is; log q and log R (nats) count the terminal token, which the JSON leaves out of text and tokens',
    )
    .argument('[run]', 'the run folder whose adapter to use')
    .option('--model <model>', 'a model without a run, or where the model of the run is now')
    .option('--adapter <folder>', 'a PEFT folder to use')
    .option('--task <task>', 'with --model alone: what to sample for, or a file as for train (default: infilling)')
    .option('--chat', "with --model alone: write the prompt in the model's chat template")
    .option('--samples <number>', 'how many', wholeNumber(1), 8)
    .option('--seed <number>', 'every random draw follows from it', wholeNumber(0), 0)
  const columns = Object.assign({}, ...Object.values(tasks).map((task) => task.columns)) as Record<string, string>
  for (const [column, what] of Object.entries(columns)) command.option(`--${column} <text>`, what)
  command.option('--field <column=text>', 'a column of a task of your own; may be repeated', field)
  withExamples(withCommonOptions(command), [
    'sample runs/infilling-1 --beginning "Tom had a dog." --ending "They were happy." --samples 16',
    'sample --model models/stories260K --beginning "Tom had a dog." --ending "They were happy." --json',
    'sample --model models/stories260K --task continuation --prompt "Tom had a dog."',
  ]).action((folder: string | undefined, options: SampleOptions) =>
    sample(folder, { ...options, onDownload: downloadProgress(terminal.stderr) }, terminal),
  )
}

async function sample(folder: string | undefined, options: SampleOptions, terminal: Terminal): Promise<void> {
  const { task, chat } = options
  if (folder !== undefined)
    refuseTogether('a run', { '--task': task, '--chat': chat }, 'it has its own; name a model with --model')
  await withSampler(folder, options, async (sampler) => {
    const { task, model, adapter, record } = sampler
    const [prompt] = promptsOf(sampler, [exampleOf(task, options)])
    const support = supportOf(record.training, model)
    const draws = seededRandom(options.seed).at('sample')
    const samples = await drawScored({ model, adapter, support }, prompt, { samples: options.samples, draws })
    if (options.json) return printJson(terminal, samples)
    const end = shownEnd(model, record.training)
    const rows = samples.map(({ text, logQ, logReward }) => [
      logQ.toFixed(1),
      logReward.toFixed(1),
      oneLine(text + end),
    ])
    const table = plainTable([['log q', 'log R', ''], ...rows], { colAligns: ['right', 'right', 'left'] })
    terminal.stdout.write(`${table}\n`)
  })
}

/** @throws UserError for a column of the task that is not given, and for one that it does not have */
function exampleOf({ name, columns, optionalColumns }: Task, options: SampleOptions): Example {
  const given: Record<string, unknown> = { ...options, ...options.field }
  const known = Object.keys({ ...columns, ...optionalColumns })
  const stray = Object.keys(options.field ?? {}).find((column) => !known.includes(column))
  if (stray !== undefined)
    throw new UserError({ what: `${name} has no column "${stray}"`, fix: `it has ${known.join(', ')}` })
  const isGiven = (column: string) => typeof given[column] === 'string' && given[column].trim() !== ''
  const missing = Object.keys(columns).find((column) => !isGiven(column))
  if (missing === undefined)
    return Object.fromEntries(known.filter(isGiven).map((column) => [column, given[column] as string]))
  throw new UserError({ what: `the ${missing} is missing`, fix: `give it with ${flagOf(missing)}` })
}
