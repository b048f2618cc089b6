import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { UserError } from '../errors.ts'
import { writePicture } from '../evaluation/pictures/render.ts'
import { type ComparisonTable, compareRuns, readRuns } from '../tasks/compare.ts'
import { comparisonPictures } from '../tasks/compare-pictures.ts'
import { comparisonScreen } from './compare-screen.ts'
import { withExamples, withJson } from './options.ts'
import { printJson, type Terminal } from './terminal.ts'

export function defineCompare(program: Command, terminal: Terminal): void {
  withExamples(
    withJson(
      program
        .command('compare')
        .description(
          'put runs side by side: those that differ in the seed alone are averaged; others stand apart by what they do otherwise',
        )
        .argument('<run...>', 'run folders')
        .option('--out <folder>', 'draw pictures into it, as SVG and PNG'),
    ),
    [
      'compare runs/infilling-1 runs/infilling-2 runs/infilling-3',
      'compare runs/* --out pictures',
      'compare runs/tb-* runs/subtb-* --json',
    ],
  ).action(async (folders: string[], { out, json }: { out?: string; json?: true }) => {
    const tables = compareRuns(readRuns(folders))
    const pictures = out === undefined ? [] : await drawn(out, tables, terminal)
    if (json) return printJson(terminal, tables.map(withoutRuns))
    terminal.stdout.write(
      `${[comparisonScreen(tables), ...(pictures.length > 0 ? ['', ...pictures] : [])].join('\n')}\n`,
    )
  })
}

/** In place of each run's record and steps, its folder and seed. */
const withoutRuns = ({ groups, ...table }: ComparisonTable) => ({
  ...table,
  groups: groups.map(({ runs, ...group }) => ({
    ...group,
    runs: runs.map(({ folder, record }) => ({ folder, seed: record.training.seed })),
  })),
})

/** The pictures of several tables differ in a number. @returns their PNG files; where nothing can draw, none, and a line says why */
async function drawn(out: string, tables: readonly ComparisonTable[], { stderr }: Terminal): Promise<string[]> {
  mkdirSync(out, { recursive: true })
  const files: string[] = []
  try {
    for (const [t, table] of tables.entries())
      for (const [name, picture] of Object.entries(comparisonPictures(table)))
        files.push((await writePicture(join(out, tables.length > 1 ? `${t + 1}-${name}` : name), picture)).png)
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    stderr.write(`warning: ${error.message}\n`)
  }
  return files
}
