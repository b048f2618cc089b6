import type { Command } from 'commander'
import { UserError } from '../errors.ts'
import { calibration } from '../evaluation/calibration.ts'
import { seededRandom } from '../random.ts'
import { readExamples } from '../tasks/examples.ts'
import { type Prediction, predict, questionsOf } from '../tasks/predict.ts'
import { latestAdapter, latestReference, type OpenRun, openRun } from '../tasks/task-run.ts'
import type { ColumnMap } from '../trainers/data-files.ts'
import { type ColumnOptions, exampleOf, isColumnGiven, withColumnOptions } from './columns.ts'
import {
  type CommonOptions,
  columnMap,
  refuseTogether,
  wholeNumber,
  withCommonOptions,
  withExamples,
} from './options.ts'
import { downloadProgress, startProgress } from './progress.ts'
import { oneLine, plainTable, printJson, type Terminal } from './terminal.ts'

type PredictOptions = CommonOptions & {
  data?: string
  columns?: ColumnMap
  model?: string
  samples: number
  seed: number
  average?: true
  sample?: true
} & ColumnOptions

export function definePredict(program: Command, terminal: Terminal): void {
  const command = program
    .command('predict')
    .description('answer by many sampled latents: each leads to an answer, and what most say is the answer')
    .argument('<run>', 'the run folder, of a task whose latents lead to answers')
    .option('--data <file>', 'questions: a file with the columns of the task; the right answers may be missing')
    .option('--columns <map>', "the file's names for the task's columns", columnMap)
    .option('--samples <number>', 'latents for each question', wholeNumber(1), 32)
    .option('--sample', 'draw an answer after each latent, and let them vote (the default)')
    .option('--average', "average the answers' probabilities over the latents instead")
    .option('--seed <number>', 'every random draw follows from it', wholeNumber(0), 0)
    .option('--model <model>', 'where the model of the run is now')
  withExamples(withCommonOptions(withColumnOptions(command)), [
    'predict runs/subjectivity-1 --text "the songs are lovely ."',
    'predict runs/subjectivity-1 --data reviews.jsonl --average --json',
    'predict runs/arithmetic-1 --question "2 + 7 - 5" --samples 64',
  ]).action(async (folder: string, options: PredictOptions) => {
    refuseTogether('--sample', { '--average': options.sample && options.average }, 'choose one of them')
    const run = await openRun(folder, {
      model: options.model,
      device: options.device,
      threads: options.threads,
      onDownload: downloadProgress(terminal.stderr),
    })
    try {
      await answer(run, options, terminal)
    } finally {
      await run.model.dispose()
    }
  })
}

async function answer(run: OpenRun, options: PredictOptions, terminal: Terminal): Promise<void> {
  const { data, columns, samples, seed, average, json } = options
  const questions = questionsOf(run.task)
  if (data !== undefined && isColumnGiven(questions, options))
    throw new UserError({ what: '--data and a single question do not go together', fix: 'give one of them' })
  const examples = data === undefined ? [exampleOf(questions, options)] : await readExamples(data, questions, columns)
  const progress = data === undefined ? undefined : startProgress(terminal.stderr, 'predicting', examples.length)
  const predictions = await predict(run, {
    examples,
    adapter: latestAdapter(run),
    reference: latestReference(run),
    samples,
    mode: average ? 'average' : 'sample',
    random: seededRandom(seed),
    onPrompt: (done) => progress?.at(done),
  }).finally(() => progress?.stop())
  const score = scoreOf(predictions)
  if (json) return printJson(terminal, { predictions, ...score })
  const lines = data === undefined ? [whole(predictions[0])] : [listed(predictions, questions.columns)]
  terminal.stdout.write(`${[...lines, ...(score && data !== undefined ? ['', scoreLine(score)] : [])].join('\n')}\n`)
}

type Score = { accuracy: number; answered: number; calibrationError: number }

/** How many of those whose right answer is known are answered rightly; undefined where none is. */
function scoreOf(predictions: readonly Prediction[]): Score | undefined {
  const known = predictions.filter(({ right }) => right !== undefined)
  if (known.length === 0) return undefined
  const isRight = known.map(({ answer, right }) => answer === right)
  const { expectedError } = calibration(
    known.map(({ probability }) => Math.min(1, probability)), // rounding may go above 1
    isRight,
  )
  const accuracy = isRight.filter(Boolean).length / known.length
  return { accuracy, answered: known.length, calibrationError: expectedError }
}

const scoreLine = ({ accuracy, answered, calibrationError }: Score) =>
  `accuracy ${percent(accuracy)} of ${answered}; expected calibration error ${calibrationError.toFixed(3)}`

/** One question with all that is known of its answer. */
function whole({
  answer,
  probability,
  answers,
  totalUncertainty,
  epistemicUncertainty,
  rationales,
  right,
}: Prediction) {
  const others = answers.slice(1, 4).map((other) => `${other.answer} ${percent(other.probability)}`)
  const table = plainTable(
    [
      ['', 'leads to', 'because'],
      ...rationales.map(({ text, share, answer }) => [percent(share), answer ?? '-', oneLine(text)]),
    ],
    { colAligns: ['right', 'left', 'left'] },
  )
  return [
    `${answer ?? 'no answer'}, probability ${percent(probability)}${others.length > 0 ? ` (${others.join(', ')})` : ''}${right === undefined ? '' : `; right is ${right}`}`,
    `uncertainty ${totalUncertainty.toFixed(3)} nats, of which epistemic ${epistemicUncertainty.toFixed(3)}`,
    '',
    table,
  ].join('\n')
}

/** A row for each question. */
function listed(predictions: readonly Prediction[], columns: Readonly<Record<string, string>>): string {
  const [question] = Object.keys(columns)
  const hasRight = predictions.some(({ right }) => right !== undefined)
  const rows = predictions.map(({ example, answer, probability, epistemicUncertainty, rationales, right }) => [
    answer ?? '-',
    ...(hasRight ? [right ?? ''] : []),
    percent(probability),
    epistemicUncertainty.toFixed(3),
    shortened(rationales[0].text, 28),
    shortened(example[question], 40),
  ])
  const heads = ['answer', ...(hasRight ? ['right'] : []), '', 'epistemic', 'because', question]
  return plainTable([heads, ...rows], { colAligns: heads.map((head) => (head === '' ? 'right' : 'left')) })
}

const percent = (share: number) => `${(100 * share).toFixed(0)} %`

function shortened(text: string, most: number): string {
  const line = oneLine(text)
  return line.length > most ? `${line.slice(0, most - 1)}…` : line
}
