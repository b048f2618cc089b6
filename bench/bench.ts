/**
 * @file `npm run bench`: seconds, matrix work and peak memory of sampling, rewards and learning at three model sizes.
 * One step is a prompt of about 60 tokens (its length changes from run to run, without another session) with 64 latents
 * of 12 tokens. How work is counted: matrix-work.ts. Each size runs in a process of its own.
 */
import { fork } from 'node:child_process'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'
import { InvalidArgumentError, Option, program } from 'commander'
import { grantedCores } from '../src/runtime/threads.ts'
import type { Row } from './measure.ts'
import { sizeNames } from './sizes.ts'

const { size, repeats, json } = program
  .addOption(new Option('--size <names...>', 'model sizes').choices(sizeNames).default(sizeNames))
  .option('--repeats <count>', 'timed runs of each phase, after one that is not', positiveInteger, 5)
  .option('--json', 'print rows as JSON')
  .parse()
  .opts<{ size: string[]; repeats: number; json?: boolean }>()

const rows: Row[] = []
for (const name of size) {
  if (!json) process.stderr.write(`measuring ${name}…\n`)
  rows.push(...(await inOwnProcess(name)))
}
console.log(json ? JSON.stringify(rows, null, 2) : tableOf(rows))

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
  const machine = `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${grantedCores()} threads, Node ${process.version}`
  return `${machine}; median of ${repeats}; seconds are per prompt\n${table}`
}

function positiveInteger(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('give a whole number above 0.')
  return value
}
