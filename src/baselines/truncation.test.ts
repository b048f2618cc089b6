import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Conditionals, chiSquareExcess, exactConditionals, queryOf } from '../../test/exact-conditionals.ts'
import { exactProblem, modelFolder } from '../../test/exact-posterior.ts'
import { adding, keyOf, keysOf } from '../../test/with-tool.ts'
import { type EnumeratedProblem, withTool } from '../evaluation/enumerate.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { seededRandom } from '../random.ts'
import { type BoundTool, bindTool } from '../sampling/tools.ts'
import type { Answer, InferenceMethod } from './method.ts'
import { keepNucleus, nucleus } from './nucleus.ts'
import { ancestral, tempered, temperedLogQ } from './tempered.ts'
import { keepTopK, topK } from './top-k.ts'

const SAMPLES = 8000

let model: LanguageModel
/** `actions` of each latent: it is they and what the tool adds to them. */
type Problem = EnumeratedProblem & { tool?: BoundTool; actions: readonly (readonly number[])[]; exact: Conditionals }
const problems: Record<string, Problem> = {}
beforeAll(async () => {
  model = await loadLanguageModel(modelFolder, { threads: 1 })
  const { problem } = exactProblem(model, 12, 2)
  const actions = problem.latents
  problems['no tool'] = { ...problem, actions, exact: await exactConditionals(problem) }
  const tool = bindTool(adding(' was', [undefined, ' so', ' very happy']), model.tokenizer)
  const tooled = await withTool(problem, tool)
  problems['a tool'] = { ...tooled, tool, actions, exact: await exactConditionals(tooled) }
})
afterAll(() => model.dispose())

type Choice = { token: number; probability: number }
/** The slow obvious way: sort, cut, divide by the sum; then the product over a latent's tokens and its ⊤. */
function exactLogQ({ exact, actions, support }: Problem, cut: (sorted: Choice[]) => Choice[]): number[] {
  const kept = new Map(
    [...exact].map(([prefix, next]) => {
      const all = [...next].map(([token, logQ]) => ({ token, probability: Math.exp(logQ) }))
      const some = cut(all.sort((a, b) => b.probability - a.probability))
      const total = some.reduce((sum, { probability }) => sum + probability, 0)
      return [prefix, new Map(some.map(({ token, probability }) => [token, probability / total]))]
    }),
  )
  return actions.map((chosen) =>
    [...chosen, support.stop].reduce(
      (sum, token, i) => sum + Math.log(kept.get(`${chosen.slice(0, i)}`)?.get(token) ?? 0),
      0,
    ),
  )
}

const upTo = (mass: number) => (sorted: Choice[]) => {
  let sum = 0
  return sorted.filter(({ probability }) => {
    const wanted = sum < mass
    sum += probability
    return wanted
  })
}
const raised = (power: number) => (sorted: Choice[]) =>
  sorted.map(({ token, probability }) => ({ token, probability: probability ** power }))

const cases: [InferenceMethod<Answer & { logQ: number[] }>, (sorted: Choice[]) => Choice[]][] = [
  [ancestral(), (sorted) => sorted],
  [tempered(), raised(1 / 3)], // the reward's temperature
  [tempered(0.5), raised(2)],
  [topK(1), (sorted) => sorted.slice(0, 1)],
  [topK(4), (sorted) => sorted.slice(0, 4)],
  [topK(50), (sorted) => sorted], // more than there are
  [nucleus(0.8), upTo(0.8)],
  [nucleus(0.5), upTo(0.5)],
  [nucleus(1), (sorted) => sorted],
]

describe.each(cases.map(([method, cut]) => ({ name: method.name, method, cut })))('$name', ({ method, cut }) => {
  test.each(['no tool', 'a tool'])(
    'draws latents as often as its exact distribution says, with their exact log q: %s',
    async (which) => {
      const problem = problems[which]
      const logQ = exactLogQ(problem, cut)
      expect(logQ.reduce((sum, value) => sum + Math.exp(value), 0)).toBeCloseTo(1, 6)
      const draws = seededRandom(3).at('truncation')
      const answer = await model.lanes.use((lane) => method.run(lane, queryOf(problem, { samples: SAMPLES, draws })))
      const possible = logQ.filter((value) => value > -Infinity).length
      if (possible > 1) expect(chiSquareExcess(answer.latents, problem, logQ)).toBeLessThan(4)
      const exactOf = new Map(keysOf(problem).map((key, i) => [key, logQ[i]]))
      for (const [n, latent] of answer.latents.entries())
        expect(Math.abs(answer.logQ[n] - exactOf.get(keyOf(latent))!)).toBeLessThan(1e-3)

      const others = cases
        .map(([, other]) => exactLogQ(problem, other))
        .filter((other) => Math.abs(other[0] - logQ[0]) > 0.01)
      expect(others.length).toBeGreaterThan(3)
      for (const other of others) expect(chiSquareExcess(answer.latents, problem, other)).toBeGreaterThan(4)
    },
  )
})

describe('what is kept of a distribution', () => {
  const next = Float32Array.from([0.1, 0.4, 0, 0.3, 0.2], Math.log)
  const places = (kept: Float32Array) => [...kept.keys()].filter((i) => kept[i] > -Infinity)

  test('the nucleus is the smallest set of the most likely that reaches p', () => {
    expect(places(keepNucleus(next, 0.01))).toEqual([1])
    expect(places(keepNucleus(next, 0.39))).toEqual([1])
    expect(places(keepNucleus(next, 0.41))).toEqual([1, 3])
    expect(places(keepNucleus(next, 0.71))).toEqual([1, 3, 4])
    expect(places(keepNucleus(next, 0.91))).toEqual([0, 1, 3, 4])
    expect(places(keepNucleus(next, 1))).toEqual([0, 1, 3, 4])
  })

  test('top-k keeps the k most likely, and what is as likely as the last of them', () => {
    expect(places(keepTopK(next, 1))).toEqual([1])
    expect(places(keepTopK(next, 3))).toEqual([1, 3, 4])
    expect(places(keepTopK(next, 5))).toEqual([0, 1, 3, 4])
    expect(places(keepTopK(Float32Array.from([-1, -2, -2, -3]), 2))).toEqual([0, 1, 2])
  })

  test('in a vocabulary of fifty thousand it is what sorting everything gives', () => {
    const draws = seededRandom(2).at('large')
    const logits = Float32Array.from({ length: 50_000 }, () => draws.normal() * 3)
    const total = Math.log(logits.reduce((sum, value) => sum + Math.exp(value), 0))
    const large = logits.map((value) => value - total)
    const order = [...large.keys()].sort((a, b) => large[b] - large[a])
    let size = 0
    for (let sum = 0; sum < 0.95; size++) sum += Math.exp(large[order[size]])
    expect(places(keepNucleus(large, 0.95))).toEqual(order.slice(0, size).sort((a, b) => a - b))
    expect(size).toBeGreaterThan(100)
    expect(places(keepTopK(large, 40))).toEqual(order.slice(0, 40).sort((a, b) => a - b))
  })
})

test.each([
  ['p is 0', () => nucleus(0)],
  ['p is 1.5', () => nucleus(1.5)],
  ['k is 0', () => topK(0)],
  ['k is 2.5', () => topK(2.5)],
  ['the temperature is -1', () => tempered(-1)],
])('%s is refused by name', (what, make) => {
  expect(make).toThrow(what)
})

test.each([0.5, 1, 3])(
  'log q of given latents at temperature %s is that of the slow obvious way',
  async (temperature) => {
    const { support, prompt, latents, ...problem } = problems['no tool']
    const sampler = { model: model.description, support }
    const logQ = await model.lanes.use((lane) => temperedLogQ(lane, sampler, { prompt, latents, temperature }))
    const wanted = exactLogQ({ support, prompt, latents, ...problem }, raised(1 / temperature))
    for (const [i, value] of logQ.entries()) expect(value).toBeCloseTo(wanted[i], 4)
  },
)
