/** @file A task's examples from the user's files, and which of them are kept apart for evaluation. */
import { UserError } from '../errors.ts'
import { nearestName } from '../nearest-name.ts'
import { type Random, seededRandom } from '../random.ts'
import { type ColumnMap, readTable } from '../trainers/data-files.ts'
import { type HashedFile, hashedFileOf, type RunRecord } from '../trainers/run-record.ts'
import type { Example, Task } from './task.ts'

/** Of the examples, at most so many: more prompts would make evaluation longer than training. */
const HELD_OUT_FRACTION = 0.1
const MOST_HELD_OUT = 40

export type DataFiles = { data?: string; testData?: string }

/** The files that examples come from; none for rows that the task brings along. @throws UserError where there is nothing */
export function filesOf({ examples, name }: Task, { data, testData }: DataFiles): DataFiles {
  if (data !== undefined) return { data, testData }
  if (examples === undefined)
    throw new UserError({ what: `there is nothing to train ${name} on`, fix: 'give a file with --data' })
  return 'data' in examples ? { data: examples.data, testData: testData ?? examples.testData } : { testData }
}

/** The examples of a run. @throws UserError where its data has changed */
export async function examplesOf({
  task,
  record,
}: {
  task: Task
  record: Pick<RunRecord, 'data' | 'testData' | 'columns' | 'training'>
}) {
  const { data, testData, columns, training } = record
  const read = async (file: HashedFile) => {
    await refuseChanged(file)
    return readExamples(file.file, task, columns)
  }
  const examples = data ? await read(data) : (task.examples as readonly Example[])
  return splitExamples(examples, task, seededRandom(training.seed), testData ? await read(testData) : undefined)
}

/** What a run is evaluated on: what was held out; where there is too little to hold any out, one that it learned from. */
export const evaluatedExamples = ({ training, heldOut }: Examples): { examples: readonly Example[]; what: string } =>
  heldOut.length > 0
    ? { examples: heldOut, what: 'held-out prompts' }
    : { examples: training.slice(0, 1), what: 'training prompts (too few to hold any out)' }

type Examples = { training: readonly Example[]; heldOut: readonly Example[] }

/** @throws UserError where a file of a run has other content than when the run began */
export async function refuseChanged({ file, sha256 }: HashedFile): Promise<void> {
  if ((await hashedFileOf(file)).sha256 === sha256) return
  throw new UserError({ what: 'this file has changed since the run began', where: file, fix: 'start a new run' })
}

/** @throws UserError for a file that is missing, empty, not UTF-8, or lacks a column */
export async function readExamples(path: string, task: Task, map: ColumnMap = {}): Promise<Example[]> {
  const [required, optional] = [task.columns, task.optionalColumns ?? {}].map((columns) => Object.keys(columns))
  const known = [...required, ...optional]
  for (const name of Object.keys(map)) {
    if (known.includes(name)) continue
    const nearest = nearestName(name, known)
    const fix = nearest ? `did you mean "${nearest}"?` : `it has ${known.join(', ')}`
    throw new UserError({ what: `${task.name} has no column "${name}"`, fix })
  }
  return (await readTable(path, required, { optional, columns: map })) as Example[]
}

/**
 * Examples to train on and examples to evaluate on; none is in both. A single one cannot be divided: nothing is held out.
 * @param test the examples to evaluate on, where the user has them
 * @throws UserError where the test examples leave none to train on
 */
export function splitExamples(
  examples: readonly Example[],
  { columns }: Pick<Task, 'columns'>,
  random: Random,
  test?: readonly Example[],
): { training: Example[]; heldOut: readonly Example[] } {
  const keyOf = (example: Example) =>
    JSON.stringify(
      Object.keys(columns)
        .sort()
        .map((name) => [name, example[name]]),
    )
  const heldOut = test ?? chooseHeldOut(examples, keyOf, random)
  const apart = new Set(heldOut.map(keyOf))
  const training = examples.filter((example) => !apart.has(keyOf(example)))
  if (training.length > 0) return { training, heldOut }
  throw new UserError({
    what: 'every row of the data is also in the test data',
    where: 'data',
    fix: 'give other test data, or none',
  })
}

/** Each example's draw is addressed by what it says: neither the order of rows nor new ones change it. */
function chooseHeldOut(examples: readonly Example[], keyOf: (example: Example) => string, random: Random): Example[] {
  const distinct = [...new Map(examples.map((example) => [keyOf(example), example]))]
  if (distinct.length < 2) return []
  const count = Math.min(MOST_HELD_OUT, Math.max(1, Math.round(distinct.length * HELD_OUT_FRACTION)))
  const drawn = distinct.map(([key, example]) => ({ example, draw: random.at('held out', key).uniform() }))
  return drawn
    .sort((a, b) => a.draw - b.draw)
    .slice(0, count)
    .map(({ example }) => example)
}
