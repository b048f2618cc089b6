/** @file Where commands print: results to stdout, everything else to stderr. Tests listen here instead. */
import Table from 'cli-table3'

export type Output = NodeJS.WritableStream & { isTTY?: boolean; columns?: number }
export type Terminal = { stdout: Output; stderr: Output }

/** How a command is called in what users are told to type. */
export const PROGRAM = 'npx flowtune'

export const printJson = ({ stdout }: Terminal, value: unknown) => void stdout.write(`${JSON.stringify(value)}\n`)

/** One line of a text of any form. */
export const oneLine = (text: string) => text.replace(/[\p{Cc}\p{Zs}\u2028\u2029]+/gu, ' ').trim()

/** "2 min 05 s". */
export function duration(seconds: number): string {
  const whole = Math.round(seconds)
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`
}

/** Columns side by side, without lines between them. */
export function plainTable(
  rows: readonly (readonly (string | number)[])[],
  options: Pick<Table.TableConstructorOptions, 'colAligns' | 'colWidths'>,
): string {
  const chars = Object.fromEntries(borders.map((name) => [name, '']))
  const table = new Table({ chars, style: { 'padding-left': 0, 'padding-right': 2, head: [], border: [] }, ...options })
  table.push(...rows.map((row) => [...row]))
  return table.toString().replaceAll(/ +$/gm, '')
}

const borders = [
  ...['top', 'bottom', 'left', 'right', 'mid', 'middle'],
  ...['top-mid', 'top-left', 'top-right', 'bottom-mid', 'bottom-left', 'bottom-right'],
  ...['left-mid', 'mid-mid', 'right-mid'],
]
