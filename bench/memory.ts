/**
 * @file `npm run bench:memory`: what loading a model and one training step of it take, beside what was expected. Weights are
 * random; a step is one prompt of 60 tokens with 64 latents of 12 tokens: sampling, the tempered reward, learning. Each row
 * runs in a process of its own, whose peak resident memory is the figure.
 */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'
import { program } from 'commander'
import type { Recomputation } from '../src/models/architecture.ts'
import type { Storage } from '../src/tensor/ops/stored.ts'
import { machine } from './machine.ts'
import type { MemoryRow } from './measure-memory.ts'
import type { SizeName } from './sizes.ts'

type Case = [size: SizeName, storage: Storage, recompute: Recomputation]

/** What fits where: the first model in 2.5 GB, the second in 10, the third in 16. */
const cases: Case[] = [
  ['smollm2-135m', 'float32', 'nothing'],
  ['smollm2-135m', 'float32', 'sampled'],
  ['smollm2-135m', 'float16', 'nothing'],
  ['smollm2-135m', 'float16', 'cheap'],
  ['smollm2-135m', 'float16', 'layers'],
  ['smollm2-135m', 'int8', 'layers'],
  ['smollm2-135m', 'int4', 'layers'],
  ['gpt2-xl', 'float16', 'cheap'],
  ['gpt2-xl', 'float16', 'layers'],
  ['gpt2-xl', 'int4', 'layers'],
  ['gpt-j-6b', 'int4', 'layers'],
]

const { only, json } = program
  .option('--only <text>', 'rows whose name contains this, such as gpt-j or "smollm2-135m float16"')
  .option('--json', 'print rows as JSON')
  .parse()
  .opts<{ only?: string; json?: boolean }>()

const rows: MemoryRow[] = []
for (const words of cases.filter((words) => words.join(' ').includes(only ?? ''))) {
  if (!json) process.stderr.write(`measuring ${words.join(', ')}…\n`)
  rows.push(await inOwnProcess(words))
}
console.log(json ? JSON.stringify(rows, null, 2) : tableOf(rows))

function inOwnProcess(words: Case): Promise<MemoryRow> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL('./measure-memory.ts', import.meta.url)), words)
    let row: MemoryRow | undefined
    child.on('message', (message) => {
      row = message as MemoryRow
    })
    child.on('exit', (code) => (row ? resolve(row) : reject(new Error(`${words.join(', ')}: ended with code ${code}`))))
  })
}

function tableOf(rows: readonly MemoryRow[]): string {
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(0)
  const seconds = (value: number) => value.toFixed(1)
  const table = new Table({
    head: [
      'model',
      'weights',
      'twice',
      'stored',
      'loading',
      'step',
      'expected',
      'load, s',
      'sample',
      'reward',
      'learn',
    ],
    style: { head: [], border: [] },
    colAligns: ['left', 'left', 'left', ...Array<'right'>(8).fill('right')],
  })
  for (const row of rows)
    table.push([
      row.size,
      row.storage,
      row.recompute,
      megabytes(row.storedBytes),
      megabytes(row.loadingBytes),
      megabytes(row.peakBytes),
      megabytes(row.expectedBytes),
      ...[row.loadSeconds, row.sampleSeconds, row.rewardSeconds, row.learnSeconds].map(seconds),
    ])
  return `${machine()}; memory in MB, that of the whole process; seconds of the second step\n${table}`
}
