/** @file A task's rows from a user's file, of any format of `table-formats.ts`, with every column that the task needs. */
import { UserError } from '../errors.ts'
import { nearestName } from '../nearest-name.ts'
import { isEmpty, readerOf, type Table } from './table-formats.ts'
import { readText } from './text-file.ts'

/** One row by our column names; an optional column is absent where the file says nothing. */
export type Row<Required extends string, Optional extends string = never> = Record<Required, string> &
  Partial<Record<Optional, string>>

/** Where the file has another name for one of our columns, or spreads it over several. */
export type ColumnMap<Column extends string = string> = Readonly<Partial<Record<Column, string | readonly string[]>>>

/**
 * The rows of a file, with the required columns filled in everywhere.
 * @param options.optional  columns that may be missing or empty
 * @param options.columns   the file's name of a column where it is not ours: `{ ending: 'sentence5' }`; the texts of
 *        several are joined by spaces: `{ beginning: ['sentence1', 'sentence2'] }`
 * @throws UserError where the file is missing, empty, not UTF-8 or not of its format, lacks a column, or has rows with
 *         nothing in a required column: all of them at once
 */
export async function readTable<Required extends string, Optional extends string = never>(
  path: string,
  required: readonly Required[],
  options: { optional?: readonly Optional[]; columns?: ColumnMap<Required | Optional> } = {},
): Promise<Row<Required, Optional>[]> {
  const { optional = [], columns } = options
  const theirNames = (ours: Required | Optional): readonly string[] => [columns?.[ours] ?? ours].flat()
  const needed = [...new Set(required.flatMap(theirNames))]
  const table = readerOf(path)(await readText(path), path, needed)
  if (table.rows.length === 0) throw new UserError({ what: 'there are no rows in it', where: path })
  const mistakes = needed.flatMap((name) => lackOf(name, table))
  if (mistakes.length) throw new UserError({ what: mistakes.join(`\n${path}: `), where: path })

  return table.rows.map(({ fields }) => {
    const row: Record<string, string> = {}
    for (const ours of [...required, ...optional]) {
      const texts = theirNames(ours).map((name) => fields[name])
      const filled = texts.filter((text) => !isEmpty(text))
      if (filled.length > 0) row[ours] = filled.join(' ')
    }
    return row as Row<Required, Optional>
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
