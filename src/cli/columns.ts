/** @file What to sample or to predict for, said on the command line: the columns of a task as options. */
import type { Command } from 'commander'
import { UserError } from '../errors.ts'
import { tasks } from '../tasks/index.ts'
import type { Example, Task } from '../tasks/task.ts'
import { field, flagOf } from './options.ts'

/** Besides these, the columns of our tasks are options. */
export type ColumnOptions = { field?: Record<string, string> } & Record<string, unknown>

export function withColumnOptions(command: Command): Command {
  const columns = Object.assign({}, ...Object.values(tasks).map((task) => task.columns)) as Record<string, string>
  for (const [column, what] of Object.entries(columns)) command.option(`--${column} <text>`, what)
  return command.option('--field <column=text>', 'a column of a task of your own; may be repeated', field)
}

/** Is any column of the task given? */
export const isColumnGiven = (task: Task, options: ColumnOptions): boolean =>
  Object.keys({ ...task.columns, ...task.optionalColumns }).some((column) => isText(options[column])) ||
  options.field !== undefined

/** @throws UserError for a column of the task that is not given, and for one that it does not have */
export function exampleOf({ name, columns, optionalColumns }: Task, options: ColumnOptions): Example {
  const given: Record<string, unknown> = { ...options, ...options.field }
  const known = Object.keys({ ...columns, ...optionalColumns })
  const stray = Object.keys(options.field ?? {}).find((column) => !known.includes(column))
  if (stray !== undefined)
    throw new UserError({ what: `${name} has no column "${stray}"`, fix: `it has ${known.join(', ')}` })
  const missing = Object.keys(columns).find((column) => !isText(given[column]))
  if (missing === undefined)
    return Object.fromEntries(
      known.filter((column) => isText(given[column])).map((column) => [column, given[column] as string]),
    )
  throw new UserError({ what: `the ${missing} is missing`, fix: `give it with ${flagOf(missing)}` })
}

const isText = (value: unknown) => typeof value === 'string' && value.trim() !== ''
