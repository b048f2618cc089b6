/**
 * @file Writes data/random-numbers: ranges of whole numbers with the paper's prompt (some to learn from, others held out), and
 * numbers drawn uniformly from its own range of 0 to 100, for supervised fine-tuning. Usage: npx tsx scripts/make-random-numbers.ts
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { seededRandom } from '../src/random.ts'

const SEED = 2024
const RANGES = 80
const HELD_OUT = 16
const NUMBERS = 1024
const LARGEST = 200
const LEAST_NUMBERS = 5 // in a range

const folder = new URL('../data/random-numbers/', import.meta.url).pathname
const random = seededRandom(SEED)
const row = (from: number, to: number, known?: number) =>
  `"The following is a random integer drawn uniformly between ${from} and ${to}: ",${from},${to}${known === undefined ? '' : `,${known}`}\n`
const write = (name: string, header: string, rows: readonly string[]) =>
  writeFileSync(`${folder}${name}`, `${header}\n${rows.join('')}`)

const draws = random.at('ranges')
const ranges = new Set<string>()
while (ranges.size < RANGES) {
  const [from, to] = [draws.integer(LARGEST + 1), draws.integer(LARGEST + 1)].sort((a, b) => a - b)
  if (to - from + 1 >= LEAST_NUMBERS && !(from === 0 && to === 100)) ranges.add(row(from, to))
}
const numbers = random.at('numbers')
mkdirSync(folder, { recursive: true })
write('train.csv', 'prompt,from,to', [...ranges].slice(HELD_OUT))
write('held-out.csv', 'prompt,from,to', [...ranges].slice(0, HELD_OUT))
write(
  'uniform.csv',
  'prompt,from,to,known',
  Array.from({ length: NUMBERS }, () => row(0, 100, numbers.integer(101))),
)
