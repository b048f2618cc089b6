import type { Command } from 'commander'
import { UserError } from '../errors.ts'
import { examplesOf, readExamples } from '../tasks/examples.ts'
import { evaluateRun, withoutPictures, writeReport } from '../tasks/report.ts'
import { latestAdapter, type OpenRun, openRun } from '../tasks/task-run.ts'
import type { ColumnMap } from '../trainers/data-files.ts'
import { type CommonOptions, columnMap, wholeNumber, withCommonOptions, withExamples } from './options.ts'
import { drawnPictures } from './pictures.ts'
import { downloadProgress, startProgress } from './progress.ts'
import { resultScreen } from './screen.ts'
import { duration, printJson, type Terminal } from './terminal.ts'

type EvaluateOptions = CommonOptions & {
  data?: string
  columns?: ColumnMap
  model?: string
  samples?: number
  prompts?: number
  seed?: number
}

export function defineEvaluate(program: Command, terminal: Terminal): void {
  withExamples(
    withCommonOptions(
      program
        .command('evaluate')
        .description('compare the adapter of a run with the base model, on prompts that it was not trained on')
        .argument('<run>', 'the run folder')
        .option('--data <file>', 'other prompts than those that the run held out')
        .option('--columns <map>', "the file's names for the task's columns", columnMap)
        .option('--samples <number>', 'of each sampler for each prompt (default: 128)', wholeNumber(2))
        .option('--prompts <number>', 'at most so many (default: all)', wholeNumber(1))
        .option('--seed <number>', "every random draw follows from it (default: the run's)", wholeNumber(0))
        .option('--model <model>', 'where the model of the run is now'),
    ),
    [
      'evaluate runs/infilling-1 --samples 512',
      'evaluate runs/infilling-1 --data other-stories.csv --prompts 20 --json',
    ],
  ).action(async (folder: string, options: EvaluateOptions) => {
    const run = await openRun(folder, { ...options, onDownload: downloadProgress(terminal.stderr) })
    try {
      await evaluate(run, options, terminal)
    } finally {
      await run.model.dispose()
    }
  })
}

async function evaluate(run: OpenRun, options: EvaluateOptions, terminal: Terminal): Promise<void> {
  const { data, columns, samples, prompts, seed, json } = options
  const all = data === undefined ? (await examplesOf(run)).heldOut : await readExamples(data, run.task, columns)
  if (all.length === 0)
    throw new UserError({ what: 'this run has no held-out prompts', where: run.folder, fix: 'give some with --data' })
  const examples = all.slice(0, prompts)
  const progress = startProgress(terminal.stderr, 'evaluating', examples.length)
  const onPrompt = (done: number) => progress.at(done)
  const report = await evaluateRun(run, { examples, adapter: latestAdapter(run), samples, seed, onPrompt }).finally(
    progress.stop,
  )
  const isWhole = data === undefined && prompts === undefined
  if (isWhole) writeReport(run.folder, report)
  const pictures = isWhole ? await drawnPictures(run.folder, report, terminal) : []
  if (json) return printJson(terminal, withoutPictures(report))
  const screen = resultScreen(run, report, data === undefined ? 'held-out prompts' : `prompts of ${data}`)
  terminal.stdout.write(`${[screen, '', ...pictures, `evaluation in ${duration(report.seconds)}`].join('\n')}\n`)
}
