/** Imports point one way: the arrow of docs and STYLE, checked over every source file. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

/** Left may use right; within braces too, in the order of the list. */
const arrow = [
  ['cli', 'dashboard'],
  ['distributed'],
  ['tasks'],
  ['trainers', 'export'],
  ['evaluation', 'baselines', 'ppo', 'gflownet', 'rewards', 'sampling'],
  ['models'],
  ['checkpoint', 'adapters', 'weights', 'tokenizer'],
  ['tensor'],
  ['runtime'],
]
const order = arrow.flat()

/** What every folder may use, and which itself uses only its like. */
const common = ['errors', 'random', 'log-space', 'sums', 'distinct', 'all-ended', 'files', 'nearest-name']
/** What stands above all folders. */
const entries = ['index']

const root = fileURLToPath(new URL('../src/', import.meta.url))
const sources = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => path.split(sep).join('/'))
  .sort()

type Import = { from: string; to: string }

/** The relative imports of a file, as paths below src. */
function importsOf(file: string, text = readFileSync(join(root, file), 'utf8')): Import[] {
  const found = text.matchAll(
    /^\s*(?:import|export|\} from)\b[^'"\n]*['"](\.{1,2}\/[^'"]+)['"]|\bimport\(['"](\.{1,2}\/[^'"]+)['"]\)/gm,
  )
  return [...found].map(([, standing, dynamic]) => ({
    from: file,
    to: relative(root, join(root, dirname(file), standing ?? dynamic))
      .split(sep)
      .join('/'),
  }))
}

/** Why an import breaks the rule; undefined where it does not. */
function violation({ from, to }: Import): string | undefined {
  if (to.startsWith('..')) return 'leaves src'
  const [place, target] = [placeOf(from), placeOf(to)]
  if (place === target || entries.includes(place)) return undefined
  if (common.includes(target)) return undefined
  if (common.includes(place)) return `${place}.ts serves all and may use none of them`
  for (const name of [place, target]) if (!order.includes(name)) return `"${name}" has no place in the arrow`
  return order.indexOf(place) < order.indexOf(target) ? undefined : `${place} is right of ${target}`
}

/** The folder of a file, or the name of a file beside the folders. */
const placeOf = (file: string) => (file.includes('/') ? file.split('/')[0] : file.replace(/(\.test)?\.ts$/, ''))

/** Tests may use what they need; only the code has a direction. */
const code = sources.filter((file) => !file.endsWith('.test.ts'))

test('imports point one way', () => {
  const all = code.flatMap((file) => importsOf(file))
  expect(all.length).toBeGreaterThan(100) // the lines were found at all
  const broken = all.flatMap((line) => {
    const why = violation(line)
    return why ? [`${line.from} imports ${line.to}: ${why}`] : []
  })
  expect(broken).toEqual([])
})

test('no import says where it leads without the file being there', () => {
  const known = new Set(sources)
  expect(code.flatMap((file) => importsOf(file)).filter(({ to }) => !known.has(to))).toEqual([])
})

test.each([
  ['tensor/x.ts', "import { a } from '../models/y.ts'", 'tensor is right of models'],
  ['sampling/x.ts', "import type { A } from '../rewards/y.ts'", 'sampling is right of rewards'],
  ['weights/x.ts', "export * from '../adapters/y.ts'", 'weights is right of adapters'],
  ['models/x.ts', "import {\n  a,\n  b,\n} from '../gflownet/y.ts'", 'models is right of gflownet'],
  ['runtime/x.ts', "const later = await import('../tensor/y.ts')", 'runtime is right of tensor'],
  ['errors.ts', "import { a } from './tensor/y.ts'", 'errors.ts serves all and may use none of them'],
  ['utils/x.ts', "import { a } from '../tensor/y.ts'", '"utils" has no place in the arrow'],
  ['cli/x.ts', "import { a } from '../../bench/y.ts'", 'leaves src'],
  ['gflownet/x.ts', "import { a } from '../sampling/y.ts'", undefined],
  ['runtime/x.ts', "import { a } from '../errors.ts'", undefined],
  ['index.ts', "export { a } from './cli/y.ts'", undefined],
])('%s with %j: %s', (file, text, why) => {
  const [line] = importsOf(file, text)
  expect(violation(line)).toBe(why)
})

test('no folder is on its own: every folder below src has its place', () => {
  const folders = new Set(sources.filter((file) => file.includes('/')).map(placeOf))
  expect([...folders].filter((folder) => !order.includes(folder))).toEqual([])
})
