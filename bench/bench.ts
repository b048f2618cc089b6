/**
 * @file `npm run bench`: seconds, matrix work and peak memory of sampling, rewards and learning at three model sizes.
 * One step is a prompt of about 60 tokens (its length changes from run to run, without another session) with 64 latents
 * of 12 tokens. How work is counted: matrix-work.ts. Each size runs in a process of its own.
 */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'
import { Option, program } from 'commander'
import { wholeNumber } from '../src/cli/options.ts'
import { machine } from './machine.ts'
import type { Row } from './measure.ts'
import { writeResults } from './results.ts'
import { sizeNames } from './sizes.ts'

const { size, repeats, json } = program
  .addOption(new Option('--size <names...>', 'model sizes').choices(sizeNames).default(sizeNames))
  .option('--repeats <count>', 'timed runs of each phase, after one that is not', wholeNumber(1), 5)
  .option('--json <file>', 'write what was measured to a file, for bench:compare')
  .parse()
  .opts<{ size: string[]; repeats: number; json?: string }>()

const rows: Row[] = []
for (const name of size) {
  process.stderr.write(`measuring ${name}…\n`)
  rows.push(...(await inOwnProcess(name)))
}
console.log(tableOf(rows))
if (json) {
  const measurements = rows.map(({ size, phase, seconds, peakBytes }) => ({
    name: `${size}, ${phase}`,
    seconds,
    peakBytes,
  }))
  writeResults(json, { command: 'bench', machine: machine(), measurements, details: rows })
}

function inOwnProcess(name: string): Promise<Row[]> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL('./measure.ts', import.meta.url)), [name, String(repeats)])
    let result: Row[] | undefined
    child.on('message', (message) => {
      result = message as Row[]
    })
    child.on('exit', (code) => (result ? resolve(result) : reject(new Error(`${name}: ended with code ${code}`))))
  })
}

function tableOf(rows: readonly Row[]): string {
  const table = new Table({
    head: ['size', 'phase', 'prompts', 'first, s', 'median, s', 'GFLOP', 'GFLOP/s', 'of MatMul', 'peak RSS, MB'],
    style: { head: [], border: [] },
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right', 'right', 'right', 'right'],
  })
  for (const row of rows)
    table.push([
      row.size,
      row.phase,
      row.prompts,
      row.firstSeconds.toFixed(3),
      row.medianSeconds.toFixed(3),
      row.gigaOperations.toFixed(1),
      row.gigaOperationsPerSecond.toFixed(0),
      `${(100 * row.rateFraction).toFixed(0)} %`,
      (row.peakBytes / 2 ** 20).toFixed(0),
    ])
  return `${machine()}; median of ${repeats}; seconds are per prompt\n${table}`
}
