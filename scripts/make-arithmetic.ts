/**
 * @file Makes files for the task arithmetic. What is in train.jsonl is never in held-out.jsonl, also not in one of another seed.
 * Usage: npx tsx scripts/make-arithmetic.ts FOLDER [--seed 0] [--train 1000] [--test 500] [--operands 3,4] [--test-operands 3,4,5]
 *        [--rationales 50], which is how many of the training rows say their steps
 *
 * data/arithmetic: npx tsx scripts/make-arithmetic.ts data/arithmetic --train 240 --test 60
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { seededRandom } from '../src/random.ts'
import { makeSums } from '../src/tasks/arithmetic-data.ts'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: '0' },
    train: { type: 'string', default: '1000' },
    test: { type: 'string', default: '500' },
    operands: { type: 'string', default: '3,4' },
    'test-operands': { type: 'string', default: '3,4,5' },
    rationales: { type: 'string', default: '50' },
  },
})
const [folder] = positionals
if (folder === undefined) throw new Error('name a folder to write to')
const random = seededRandom(Number(values.seed))
const numbers = (text: string) => text.split(',').map(Number)
const training = makeSums(
  { split: 'train', count: Number(values.train), operands: numbers(values.operands) },
  random,
).map(({ rationale, ...row }, i) => (i < Number(values.rationales) ? { ...row, rationale } : row))
const test = makeSums(
  { split: 'test', count: Number(values.test), operands: numbers(values['test-operands']) },
  random,
).map(({ rationale: _, ...row }) => row)
mkdirSync(folder, { recursive: true })
for (const [name, rows] of Object.entries({ train: training, 'held-out': test }))
  writeFileSync(join(folder, `${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
