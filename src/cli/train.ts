import { relative } from 'node:path'
import { type Command, Option } from 'commander'
import { UserError } from '../errors.ts'
import { formatBytes } from '../files.ts'
import { objectiveNames } from '../gflownet/objectives.ts'
import { embeddedModel } from '../tasks/embedded.ts'
import { evaluatedExamples } from '../tasks/examples.ts'
import { tasks } from '../tasks/index.ts'
import { questionsOf } from '../tasks/predict.ts'
import { evaluateRun, type Report, withoutPictures, writeReport } from '../tasks/report.ts'
import { latestAdapter, type NewRun, type ReadyRun, resumeRun, startRun, train } from '../tasks/task-run.ts'
import { totalSteps } from '../trainers/config.ts'
import type { ColumnMap } from '../trainers/data-files.ts'
import { methodNames } from '../trainers/methods/names.ts'
import { updatesDone } from '../trainers/state.ts'
import { interruptible } from './interrupt.ts'
import {
  type CommonOptions,
  columnMap,
  flagOf,
  type HoldingOptions,
  holdingOf,
  MODEL_HELP,
  refuseTogether,
  setting,
  type TrainingFlags,
  trainingOptions,
  wholeNumber,
  withCommonOptions,
  withExamples,
  withHoldingOptions,
} from './options.ts'
import { drawnPictures } from './pictures.ts'
import { downloadProgress, type Progress, startProgress, trainingFigures } from './progress.ts'
import { resultScreen } from './screen.ts'
import { duration, PROGRAM, printJson, type Terminal } from './terminal.ts'

type RunOptions = CommonOptions & HoldingOptions & TrainingFlags & { lanes?: number; out?: string }
type TrainOptions = RunOptions & {
  model?: string
  adapter?: string
  data?: string
  testData?: string
  columns?: ColumnMap
  chat?: true
  resume?: string
  fromStep?: number
}

const withRunOptions = (command: Command) =>
  withCommonOptions(
    withHoldingOptions(command)
      .option(
        '--lanes <number>',
        'prompts of a step side by side, each with a copy of the weights and its part of the threads (default: one a thread for small models, else one)',
        wholeNumber(1),
      )
      .option('--config <file>', 'training options as JSON')
      .option('--set <key=value>', 'one training option, such as latent.maxTokens=20; may be repeated', setting)
      .addOption(new Option('--method <name>', 'how it learns (default: gflownet)').choices(methodNames))
      .addOption(
        new Option('--objective <name>', 'of gflownet (default: subtrajectory-balance)').choices(objectiveNames),
      )
      .option('--steps <number>', 'updates of the adapter', wholeNumber(1))
      .option(
        '--em-rounds <number>',
        'rounds of expectation-maximisation: --steps updates of the adapter, then em.steps of one of the reference model',
        wholeNumber(0),
      )
      .option('--seed <number>', 'every random draw follows from it (default: 0)', wholeNumber(0))
      .option('--out <folder>', 'the run folder, which must not exist (default: the next free runs/<task>-<n>)'),
  )

export function defineStart(program: Command, terminal: Terminal): void {
  withExamples(
    withRunOptions(
      program.command('start').description('teach the embedded model to infill stories, and show the result'),
    ),
    ['start', 'start --steps 100 --seed 1'],
  ).action(async (options: RunOptions) => {
    const what = { task: 'infilling', model: embeddedModel }
    await trainAndEvaluate(await startRun(newRun(what, options, program, terminal)), terminal, options)
  })
}

export function defineTrain(program: Command, terminal: Terminal): void {
  const list = Object.values(tasks).map(({ name, summary }) => `${name} (${summary})`)
  withExamples(
    withRunOptions(
      program
        .command('train')
        .description('fine-tune a model on your data, and evaluate it on a part that was held out')
        .argument('[task]', `what to learn: ${list.join(', ')}, or a file with your own task or reward`, 'infilling')
        .option(
          '--data <file>',
          'examples: .csv, .tsv, .jsonl or .json with the columns of the task, or .txt, a row a line (default: what comes with the task)',
        )
        .option('--test-data <file>', 'examples to evaluate on (default: a tenth of the data, at most 40)')
        .option('--columns <map>', "the file's names for the task's columns", columnMap)
        .option('--model <model>', `${MODEL_HELP} (default: the embedded one)`)
        .option('--chat', "write prompts in the model's chat template")
        .option('--adapter <folder>', 'a PEFT folder to start from (default: a fresh adapter)')
        .option('--resume <run>', 'go on with a run that was stopped')
        .option('--from-step <number>', 'with --resume: from an earlier checkpoint', wholeNumber(0)),
    ),
    [
      'train infilling --data stories.csv',
      'train continuation --model models/SmolLM2-135M --data prompts.txt',
      'train ./my-reward.ts --steps 200',
      'train infilling --data stories.jsonl --model models/SmolLM2-135M --steps 200 --set latent.maxTokens=20',
      'train --data roc.csv.gz --columns "beginning=sentence1+sentence2+sentence3,ending=sentence5"',
      'train infilling --data more-stories.csv --adapter runs/infilling-1/adapter',
      'train --resume runs/infilling-1',
    ],
  ).action(async (task: string, options: TrainOptions) => {
    const { data, testData, columns, chat, model = embeddedModel, adapter, resume: stopped, fromStep } = options
    if (stopped !== undefined) return trainAndEvaluate(await resume(stopped, options, terminal), terminal, options)
    refuseTogether('a new run', { '--from-step': fromStep }, 'name the run with --resume')
    const what = { task, model, adapter, data, testData, columns, chat }
    const run = await startRun(newRun(what, options, program, terminal))
    await trainAndEvaluate(run, terminal, options)
  })
}

const newRun = (what: NewRun, options: RunOptions, program: Command, { stderr }: Terminal): NewRun => ({
  ...what,
  training: trainingOptions(options),
  device: options.device,
  threads: options.threads,
  ...holdingOf(options),
  lanes: options.lanes,
  onDownload: downloadProgress(stderr),
  folder: options.out,
  command: program.args.join(' '),
})

async function resume(folder: string, options: TrainOptions, { stderr }: Terminal): Promise<ReadyRun> {
  const { data, testData, columns, chat, adapter, model, device, threads, steps, fromStep, out, config, set, seed } =
    options
  refuseTogether(
    '--resume',
    {
      '--data': data,
      '--test-data': testData,
      '--columns': columns,
      '--chat': chat,
      '--adapter': adapter,
      '--out': out,
      '--config': config,
      '--set': set,
      '--method': options.method,
      '--objective': options.objective,
      '--steps': steps,
      '--em-rounds': options.emRounds,
      '--seed': seed,
      '--weights': options.weights,
      '--memory': options.memory,
    },
    'a run goes on with what its config.json says',
  )
  const { promptBytes } = holdingOf(options)
  const changes = { model, device, threads, lanes: options.lanes, promptBytes, onDownload: downloadProgress(stderr) }
  const run = await resumeRun(folder, changes, fromStep)
  stderr.write(
    run.state
      ? `going on from the checkpoint of step ${updatesDone(run.state)} of ${totalSteps(run.record.training)}\n`
      : 'there is no checkpoint to go on from: the run starts over\n',
  )
  return run
}

/** Trains, evaluates on what was held out and shows the result; Ctrl-C leaves a checkpoint. */
async function trainAndEvaluate(run: ReadyRun, terminal: Terminal, { json }: CommonOptions): Promise<void> {
  const { stderr } = terminal
  const again = `go on with: ${PROGRAM} train --resume ${run.folder}`
  try {
    await interruptible(
      () => stderr.write('\nfinishing what is under way (Ctrl-C again: end at once)\n'),
      async (signal) => {
        const started = performance.now()
        const stoppedAt = await showTraining(run, terminal, signal)
        if (stoppedAt !== undefined)
          throw new UserError(
            { what: `stopped after step ${stoppedAt} of ${totalSteps(run.record.training)}`, fix: again },
            1,
          )
        const trainSeconds = (performance.now() - started) / 1000
        const report = await Promise.race([evaluateHeldOut(run, terminal), stopped(signal, again)])
        writeReport(run.folder, report)
        const pictures = await drawnPictures(run.folder, report, terminal)
        if (json) printJson(terminal, { run: run.folder, trainSeconds, ...withoutPictures(report) })
        else terminal.stdout.write(`${endScreen(run, report, { trainSeconds, pictures })}\n`)
      },
    )
  } finally {
    await run.model.dispose()
  }
}

/** Follows the training. Returns the step at which it was stopped; undefined where it came to its end. */
async function showTraining(run: ReadyRun, { stderr }: Terminal, signal: AbortSignal): Promise<number | undefined> {
  const { training, heldOut, model, folder } = run
  const count = (value: number) => value.toLocaleString('en')
  const figures = trainingFigures()
  let progress: Progress | undefined
  try {
    for await (const event of train(run, signal)) {
      if (event.kind === 'started') {
        const { frozen, trained } = event.parameters
        stderr.write(
          `${model.name}, ${count(frozen)} parameters as ${heldAs(run)}, and ${run.record.training.em.rounds > 0 ? 'two adapters' : 'an adapter'} of ${count(trained)}; `,
        )
        stderr.write(`${count(training.length)} prompts, ${heldOut.length} held out; ${folder}\n`)
        progress = startProgress(stderr, 'training', event.steps, { from: event.step })
      }
      if (event.kind === 'step') progress?.at(event.step, figures(event))
      if (event.kind === 'warning') {
        const line = `warning${event.step > 0 ? ` at step ${event.step}` : ''}: ${event.what}; ${event.fix}`
        if (progress) progress.note(line)
        else stderr.write(`${line}\n`)
      }
      if (event.kind === 'finished' && event.reason === 'stopped') return event.step
    }
  } finally {
    progress?.stop()
  }
  return undefined
}

/** "float16 (269.0 MB, peak about 2.1 GB)" */
function heldAs({ record, memory }: ReadyRun): string {
  const { storage, recompute } = record.holding
  const twice = {
    nothing: '',
    sampled: '',
    cheap: ', cheap parts computed twice',
    layers: ', layers computed twice',
  }[recompute]
  return `${storage} (${formatBytes(memory.storedBytes)}${twice}, peak about ${formatBytes(memory.expectedBytes)})`
}

/** With a single example there is nothing to hold out: it is evaluated on itself, and the screen says so. */
async function evaluateHeldOut(run: ReadyRun, { stderr }: Terminal): Promise<Report> {
  const { examples } = evaluatedExamples(run)
  const progress = startProgress(stderr, 'evaluating', examples.length)
  try {
    return await evaluateRun(run, { examples, adapter: latestAdapter(run), onPrompt: (done) => progress.at(done) })
  } finally {
    progress.stop()
  }
}

const stopped = (signal: AbortSignal, again: string) =>
  new Promise<never>((_, reject) => {
    const stop = () => reject(new UserError({ what: 'stopped after training, before the evaluation', fix: again }, 1))
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop)
  })

function endScreen(
  run: ReadyRun,
  report: Report,
  { trainSeconds, pictures }: { trainSeconds: number; pictures: readonly string[] },
): string {
  const { folder, task, state, record } = run
  const steps = totalSteps(record.training) - (state ? updatesDone(state) : 0)
  const taskWord = record.taskFile ? relative('.', record.task) : record.task
  return [
    resultScreen(run, report, evaluatedExamples(run).what),
    '',
    `${steps > 0 ? `${steps} steps in ${duration(trainSeconds)}, ` : ''}evaluation in ${duration(report.seconds)}; everything is in ${folder}`,
    ...pictures.map((line) => `  ${line}`),
    `  ${PROGRAM} sample ${folder} ${Object.keys(task.columns).map(flagOf).join(' ')}`,
    ...(task.answer
      ? [`  ${PROGRAM} predict ${folder} ${Object.keys(questionsOf(task).columns).map(flagOf).join(' ')}`]
      : []),
    `  ${PROGRAM} evaluate ${folder} --samples 512`,
    `  ${PROGRAM} train ${taskWord} --data your-examples.csv`,
  ].join('\n')
}
