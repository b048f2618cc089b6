/**
 * @file `npm run bench:compare A B`: what became slower or faster from A to B, two files that `bench` or `bench:peers` wrote
 * with `--json`. Ends with code 1 where something of ours became slower by more than the noise in the files themselves.
 */
import Table from 'cli-table3'
import { program } from 'commander'
import { UserError } from '../src/errors.ts'
import { type Change, type Comparison, compareResults } from './comparison.ts'
import { type Results, readResults } from './results.ts'

program
  .argument('<before>', 'a file that a benchmark wrote')
  .argument('<after>', 'one that the same benchmark wrote later')
  .parse()
try {
  const [before, after] = program.args.map(readResults)
  const comparison = compareResults(before, after)
  if (comparison.changes.length === 0)
    throw new UserError({
      what: `it has no measurement of ${program.args[0]}`,
      where: program.args[1],
      fix: 'compare two files of the same benchmark',
    })
  console.log(report(comparison, [before, after]))
  if (comparison.isSlower) process.exitCode = 1
} catch (error) {
  if (!(error instanceof UserError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = error.exitCode
}

function report({ changes, onlyBefore, onlyAfter }: Comparison, [before, after]: Results[]): string {
  const table = new Table({
    head: ['measurement', 'before, s', 'after, s', 'after / before', 'noise', 'peak memory', ''],
    style: { head: [], border: [] },
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'left'],
  })
  for (const change of changes)
    table.push([
      change.name,
      change.before.toFixed(3),
      change.after.toFixed(3),
      change.ratio.toFixed(3),
      `± ${(100 * change.noise).toFixed(0)} %`,
      `× ${change.memoryRatio.toFixed(2)}`,
      verdictOf(change),
    ])
  const notes = [
    ...(before.machine === after.machine ? [] : [`other machines: ${before.machine} and ${after.machine}`]),
    ...onlyBefore.map((name) => `only before: ${name}`),
    ...onlyAfter.map((name) => `only after: ${name}`),
  ]
  return [table.toString(), ...notes].join('\n')
}

function verdictOf({ verdict, isControl }: Change): string {
  if (verdict === 'within noise') return ''
  return isControl ? `${verdict}: the machine is` : verdict.toUpperCase()
}
