/** @file A task's rows from a user's file, of any format of `table-formats.ts`, with every column that the task needs. */
import { UserError } from '../errors.ts'
import { nearestName } from '../nearest-name.ts'
import { isEmpty, readerOf, type Table } from './table-formats.ts'
import { readText } from './text-file.ts'

/** One row by our column names; an optional column is absent where the file says nothing. */
export type Row<Required extends string, Optional extends string = never> = Record<Required, string> &
  Partial<Record<Optional, string>>

/**
 * The rows of a file, with the required columns filled in everywhere.
 * @param options.optional  columns that may be missing or empty
 * @param options.columns   the file's name of a column where it is not ours: `{ ending: 'sentence5' }`
 * @throws UserError where the file is missing, empty, not UTF-8 or not of its format, lacks a column, or has rows with
 *         nothing in a required column: all of them at once
 */
export async function readTable<Required extends string, Optional extends string = never>(
  path: string,
  required: readonly Required[],
  options: { optional?: readonly Optional[]; columns?: Partial<Record<Required | Optional, string>> } = {},
): Promise<Row<Required, Optional>[]> {
  const { optional = [], columns } = options
  const theirName = (ours: Required | Optional): string => columns?.[ours] ?? ours
  const table = readerOf(path)(await readText(path), path, required.map(theirName))
  if (table.rows.length === 0) throw new UserError({ what: 'there are no rows in it', where: path })
  const mistakes = required.map(theirName).flatMap((name) => lackOf(name, table))
  if (mistakes.length) throw new UserError({ what: mistakes.join(`\n${path}: `), where: path })

  const names = [...required, ...optional].map((ours) => ({ ours, theirs: theirName(ours) }))
  return table.rows.map(({ fields }) => {
    const present = names.filter(({ theirs }) => !isEmpty(fields[theirs]))
    return Object.fromEntries(present.map(({ ours, theirs }) => [ours, fields[theirs]])) as Row<Required, Optional>
  })
}

/** What is wrong with a required column: it does not exist, or some rows have nothing in it. */
function lackOf(name: string, { columns, rows }: Table): string[] {
  if (!columns.includes(name)) {
    const nearest = nearestName(name, columns)
    const fix = nearest === undefined ? 'rename one, or map it' : `did you mean "${nearest}"? Rename it, or map it`
    return [`there is no column "${name}", only ${columns.map((column) => `"${column}"`).join(', ')}; ${fix}`]
  }
  const empty = rows.filter(({ fields }) => isEmpty(fields[name])).map(({ place }) => place)
  if (empty.length === 0) return []
  const shown = `${empty.slice(0, MAX_PLACES).join(', ')}${empty.length > MAX_PLACES ? ', …' : ''}`
  const rowsHave = empty.length === 1 ? '1 row has' : `${empty.length} rows have`
  return [`${rowsHave} nothing in column "${name}" (${shown}); fill or remove ${empty.length === 1 ? 'it' : 'them'}`]
}

const MAX_PLACES = 5 // of empty fields that a message names; enough to see what is wrong with the file
