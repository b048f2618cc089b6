/**
 * @file Tables of text: .csv and .tsv with a header, .jsonl and .json with an object a row, .txt with a line a row and
 * tabs between its columns; each also as .gz. Text is taken as it stands, spaces included.
 */
import { extname } from 'node:path'
import { CsvError, parse as parseCsv } from 'csv-parse/sync'
import { UserError } from '../errors.ts'

/** What a format's reader gives: the file's own columns, and rows with the line (or entry) that each is found at. */
export type Table = { columns: readonly string[]; rows: readonly SourceRow[] }
type SourceRow = { place: string; fields: Readonly<Record<string, string>> }

/** `path` is for messages; `wanted` are the columns that are needed, which only a format without names needs to know. */
export type Reader = (text: string, path: string, wanted: readonly string[]) => Table

const readers: Record<string, Reader> = {
  '.csv': (text, path) => readDelimited(text, path, ','),
  '.tsv': (text, path) => readDelimited(text, path, '\t'),
  '.jsonl': readJsonLines,
  '.json': readJson,
  '.txt': readLines,
}

/** The reader that a file's name asks for. @throws UserError naming the formats that exist */
export function readerOf(path: string): Reader {
  const extension = extname(path.replace(/\.gz$/, '')).toLowerCase()
  if (Object.hasOwn(readers, extension)) return readers[extension]
  const known = Object.keys(readers).join(', ')
  throw new UserError({
    what: `cannot tell the format from "${extension}"`,
    where: path,
    fix: `use ${known}, or one of them with .gz`,
  })
}

function readDelimited(text: string, path: string, delimiter: string): Table {
  const [header, ...records] = parseRecords(text, path, delimiter)
  if (!header) return { columns: [], rows: [] }
  const columns = header.record
  const repeated = columns.find((name, i) => columns.indexOf(name) < i)
  if (repeated !== undefined) throw new UserError({ what: `two columns are called "${repeated}"`, where: path })
  const rows = records.map(({ record, line }) => ({
    place: `line ${line}`,
    fields: Object.fromEntries(columns.map((name, i) => [name, record[i]])),
  }))
  return { columns, rows }
}

/** Records with the line at which each ends. */
function parseRecords(text: string, path: string, delimiter: string): { record: string[]; line: number }[] {
  try {
    const records = parseCsv(text, { delimiter, info: true, skip_empty_lines: true })
    return (records as unknown as { record: string[]; info: { lines: number } }[]).map(({ record, info }) => ({
      record,
      line: info.lines,
    }))
  } catch (error) {
    if (error instanceof CsvError) throw new UserError({ what: error.message, where: path })
    throw error
  }
}

function readJsonLines(text: string, path: string): Table {
  const lines = numberedLines(text)
  return tableOf(lines.map(({ line, place }) => objectRow(parseJson(line, `${path}, ${place}`), path, place)))
}

function readJson(text: string, path: string): Table {
  const value = text.trim() === '' ? [] : parseJson(text, path)
  if (!Array.isArray(value)) throw new UserError({ what: 'this is no list of objects', where: path })
  return tableOf(value.map((entry: unknown, i) => objectRow(entry, path, `entry ${i + 1}`)))
}

/** A line a row. It has no names: where several columns are needed, they stand in that order with tabs between them. */
function readLines(text: string, path: string, wanted: readonly string[]): Table {
  const rows = numberedLines(text).map(({ line, place }) => {
    const texts = wanted.length === 1 ? [line] : line.split('\t')
    if (texts.length !== wanted.length)
      throw new UserError({
        what: `${wanted.join(' and ')} are needed with a tab between them, and the line has ${texts.length - 1 || 'none'}`,
        where: `${path}, ${place}`,
        fix: 'separate them by tabs, or use .csv or .jsonl',
      })
    return { place, fields: Object.fromEntries(wanted.map((name, i) => [name, texts[i]])) }
  })
  return { columns: wanted, rows }
}

export const isEmpty = (field: string | undefined) => field === undefined || field.trim() === ''

const numberedLines = (text: string) =>
  text
    .split(/\r?\n/)
    .map((line, i) => ({ line, place: `line ${i + 1}` }))
    .filter(({ line }) => !isEmpty(line))

/** A table of objects: its columns are the keys of all of them. */
const tableOf = (rows: readonly SourceRow[]): Table => ({
  columns: [...new Set(rows.flatMap(({ fields }) => Object.keys(fields)))],
  rows,
})

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new UserError({ what: `not JSON (${(error as SyntaxError).message})`, where })
  }
}

function objectRow(value: unknown, path: string, place: string): SourceRow {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UserError({ what: 'this is no object', where: `${path}, ${place}`, fix: 'write {"column": "text", …}' })
  const fields = Object.entries(value).map(([name, field]: [string, unknown]) => [name, textOf(field)])
  return { place, fields: Object.fromEntries(fields) }
}

/** Strings as they are, null as nothing, lists of strings with commas between, everything else as JSON writes it. */
function textOf(field: unknown): string {
  if (typeof field === 'string') return field
  if (field === null) return ''
  const isList = Array.isArray(field) && field.every((entry) => typeof entry === 'string')
  return isList ? field.join(', ') : JSON.stringify(field)
}
