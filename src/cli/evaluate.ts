import type { Command } from 'commander'
import { baselineNames } from '../baselines/index.ts'
import { openSentenceEncoder, type SentenceEncoder } from '../evaluation/sentence-encoder.ts'
import { baselinesNamed } from '../tasks/baseline-report.ts'
import { evaluatedExamples, examplesOf, readExamples } from '../tasks/examples.ts'
import { type BaselineChoice, evaluateRun, withoutPictures, writeReport } from '../tasks/report.ts'
import { latestAdapter, type OpenRun, openRun } from '../tasks/task-run.ts'
import type { ColumnMap } from '../trainers/data-files.ts'
import { resolveEncoder } from '../weights/hub/resolve-encoder.ts'
import { baselineScreen } from './baseline-screen.ts'
import {
  type CommonOptions,
  columnMap,
  refuseTogether,
  tokenList,
  wholeNumber,
  withCommonOptions,
  withExamples,
} from './options.ts'
import { drawnPictures } from './pictures.ts'
import { downloadProgress, type Progress, startProgress } from './progress.ts'
import { resultScreen } from './screen.ts'
import { duration, printJson, type Terminal } from './terminal.ts'

type EvaluateOptions = CommonOptions & {
  data?: string
  columns?: ColumnMap
  model?: string
  samples?: number
  prompts?: number
  seed?: number
  baselines?: true | string[]
  budget?: number[]
  queries?: number
  perQuery?: number
  encoder?: string
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
        .option(
          '--baselines [names...]',
          'compare also with methods that need no training: all, or some, such as importance-resampling beam',
        )
        .option(
          '--budget <tokens>',
          'forward tokens that baselines may take for each query, such as 500,2000 (default: 4, 16 and 64 times what plain sampling takes)',
          tokenList,
        )
        .option('--queries <number>', 'prompts that baselines are asked (default: 10)', wholeNumber(1))
        .option('--per-query <number>', 'samples that a query wants of each baseline (default: 8)', wholeNumber(1))
        .option(
          '--encoder <model>',
          'a sentence encoder in ONNX form, a folder or owner/name on the hub: tells diversity and nearness by meaning',
        )
        .option('--seed <number>', "every random draw follows from it (default: the run's)", wholeNumber(0))
        .option('--model <model>', 'where the model of the run is now'),
    ),
    [
      'evaluate runs/infilling-1 --samples 512',
      'evaluate runs/infilling-1 --data other-stories.csv --prompts 20 --json',
      'evaluate runs/infilling-1 --baselines --encoder models/all-MiniLM-L6-v2',
      'evaluate runs/infilling-1 --baselines importance-resampling sequential-monte-carlo --budget 500,2000,8000',
    ],
  ).action(async (folder: string, options: EvaluateOptions) => {
    const baselines = chosenBaselines(options)
    const run = await openRun(folder, { ...options, onDownload: downloadProgress(terminal.stderr) })
    try {
      const encoder = await openEncoder(options, terminal)
      try {
        await evaluate(run, { ...options, baselines, encoder }, terminal)
      } finally {
        await encoder?.dispose()
      }
    } finally {
      await run.model.dispose()
    }
  })
}

/** @throws UserError for a baseline that there is not, and for settings of none */
function chosenBaselines({ baselines, budget, queries, perQuery }: EvaluateOptions): BaselineChoice | undefined {
  if (baselines === undefined) {
    refuseTogether(
      'an evaluation without --baselines',
      { '--budget': budget, '--queries': queries, '--per-query': perQuery },
      'add it',
    )
    return undefined
  }
  return {
    names: baselines === true ? baselineNames : baselinesNamed(baselines),
    ...(budget && { budgets: budget }),
    ...(queries && { queries }),
    ...(perQuery && { perQuery }),
  }
}

const openEncoder = async ({ encoder, threads }: EvaluateOptions, { stderr }: Terminal) =>
  encoder === undefined
    ? undefined
    : openSentenceEncoder(await resolveEncoder(encoder, { onProgress: downloadProgress(stderr) }), { threads })

type Evaluation = Omit<EvaluateOptions, 'baselines' | 'encoder'> & {
  baselines?: BaselineChoice
  encoder?: SentenceEncoder
}

async function evaluate(run: OpenRun, options: Evaluation, terminal: Terminal): Promise<void> {
  const { data, columns, samples, prompts, seed, json, encoder } = options
  const { examples: all, what } =
    data === undefined
      ? evaluatedExamples(await examplesOf(run))
      : { examples: await readExamples(data, run.task, columns), what: `prompts of ${data}` }
  const examples = all.slice(0, prompts)
  const progress = startProgress(terminal.stderr, 'evaluating', examples.length)
  const onPrompt = (done: number) => progress.at(done)
  let asking: Progress | undefined
  const baselines = options.baselines && {
    ...options.baselines,
    onQuery: (done: number, of: number) => {
      progress.stop()
      asking ??= startProgress(terminal.stderr, 'baselines', of)
      asking.at(done)
    },
  }
  const adapter = latestAdapter(run)
  const report = await evaluateRun(run, { examples, adapter, samples, seed, onPrompt, baselines, encoder }).finally(
    () => (asking ?? progress).stop(),
  )
  const isWhole = data === undefined && prompts === undefined
  if (isWhole) writeReport(run.folder, report)
  const pictures = isWhole ? await drawnPictures(run.folder, report, terminal) : []
  if (json) return printJson(terminal, withoutPictures(report))
  const screen = resultScreen(run, report, what)
  const beside = report.baselines ? ['', baselineScreen(report.baselines, report)] : []
  terminal.stdout.write(
    `${[screen, ...beside, '', ...pictures, `evaluation in ${duration(report.seconds)}`].join('\n')}\n`,
  )
}
