import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Conditionals, exactConditionals, queryOf } from '../../test/exact-conditionals.ts'
import { exactProblem, modelFolder } from '../../test/exact-posterior.ts'
import type { EnumeratedProblem } from '../evaluation/enumerate.ts'
import { enumerateLatents, enumeratePolicy } from '../evaluation/enumerate.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { beam, type Hypothesis, searchBeams } from './beam.ts'
import { diverseBeam } from './diverse-beam.ts'
import { greedy } from './greedy.ts'

const TOLERANCE = 1e-4 // nats, between decoding with a cache and one packed pass in float32

let model: LanguageModel
const problems: Record<string, EnumeratedProblem & { exact: Conditionals; logQ: number[] }> = {}
beforeAll(async () => {
  model = await loadLanguageModel(modelFolder, { threads: 1 })
  const { problem } = exactProblem(model, 5, 3)
  const vocabulary = model.description.dimensions.vocabulary
  for (const [name, minTokens] of Object.entries({ 'from no token': 0, 'from two tokens': 2 })) {
    const support = { ...problem.support, minTokens }
    const limited = { ...problem, support, latents: enumerateLatents(support, vocabulary) }
    problems[name] = { ...limited, exact: await exactConditionals(limited), logQ: await enumeratePolicy(limited) }
  }
})
afterAll(() => model.dispose())

const search = (problem: EnumeratedProblem, settings: Parameters<typeof searchBeams>[2]) =>
  model.lanes.use((lane) => searchBeams(lane, queryOf(problem, { samples: 1 }), settings))

/** All latents with log q, the most likely first. */
const ranked = ({ latents, logQ }: { latents: EnumeratedProblem['latents']; logQ: number[] }) =>
  latents.map((tokens, i) => ({ tokens, logQ: logQ[i] })).sort((a, b) => b.logQ - a.logQ)

/** Diverse beam search by its definition: every candidate is listed and sorted, and every count is made anew. */
function slowSearch(
  { exact, support }: { exact: Conditionals; support: EnumeratedProblem['support'] },
  { groups, beams, penalty }: Parameters<typeof searchBeams>[2],
): Hypothesis[][] {
  type State = { open: Hypothesis[]; ended: Hypothesis[] }
  const states = Array.from({ length: groups }, (): State => ({ open: [{ tokens: [], logQ: 0, score: 0 }], ended: [] }))
  const sorted = (all: Hypothesis[]) => all.sort((a, b) => b.score - a.score).slice(0, beams)
  for (let length = 0; length <= support.maxTokens; length++) {
    const chosen: number[] = []
    for (const state of states) {
      const ends: Hypothesis[] = []
      const goesOn: Hypothesis[] = []
      for (const { tokens, logQ, score } of state.open)
        for (const [token, value] of exact.get(`${tokens}`)!)
          if (token === support.stop) ends.push({ tokens, logQ: logQ + value, score: score + value })
          else {
            const paid = penalty * chosen.filter((other) => other === token).length
            goesOn.push({ tokens: [...tokens, token], logQ: logQ + value, score: score + value - paid })
          }
      state.ended = sorted([...state.ended, ...ends])
      state.open = sorted(goesOn)
      const worst = state.ended[beams - 1]
      if (worst && state.open.every(({ score }) => score <= worst.score)) state.open = []
      chosen.push(...state.open.map(({ tokens }) => tokens[length]))
    }
  }
  return states.map(({ ended }) => ended)
}

function expectSame(found: Hypothesis[][], expected: Hypothesis[][]) {
  expect(found.map((group) => group.map(({ tokens }) => tokens))).toEqual(
    expected.map((group) => group.map(({ tokens }) => tokens)),
  )
  for (const [g, group] of found.entries())
    for (const [i, { logQ, score }] of group.entries()) {
      expect(Math.abs(logQ - expected[g][i].logQ)).toBeLessThan(TOLERANCE)
      expect(Math.abs(score - expected[g][i].score)).toBeLessThan(TOLERANCE)
    }
}

describe.each(['from no token', 'from two tokens'])('latents %s', (name) => {
  test('a beam that is wide enough finds the best of all latents, and the next best in their order', async () => {
    const best = ranked(problems[name]).slice(0, 125)
    const [found] = await search(problems[name], { groups: 1, beams: 125, penalty: 0 })
    expect(found.map(({ tokens }) => tokens)).toEqual(best.map(({ tokens }) => tokens))
    for (const [i, { logQ }] of found.entries()) expect(Math.abs(logQ - best[i].logQ)).toBeLessThan(TOLERANCE)

    const answer = await model.lanes.use((lane) => beam(25).run(lane, queryOf(problems[name], { samples: 5 })))
    expect(answer.latents).toEqual([best[0].tokens])
    expect(Math.abs(answer.logQ![0] - best[0].logQ)).toBeLessThan(TOLERANCE)
  })

  test.each([1, 2, 3, 8])('%i beams keep what the definition keeps', async (beams) => {
    const settings = { groups: 1, beams, penalty: 0 }
    expectSame(await search(problems[name], settings), slowSearch(problems[name], settings))
  })

  test.each([
    { groups: 2, beams: 1, penalty: 1 },
    { groups: 5, beams: 1, penalty: 1 },
    { groups: 3, beams: 2, penalty: 1 },
    { groups: 4, beams: 5, penalty: 0.3 },
    { groups: 3, beams: 2, penalty: 0 },
  ])('$groups groups of $beams beams at penalty $penalty keep what the definition keeps', async (settings) => {
    expectSame(await search(problems[name], settings), slowSearch(problems[name], settings))
  })

  test('without a penalty all groups find the same, with a large one each finds something else', async () => {
    const distinct = async (penalty: number) => {
      const found = await search(problems[name], { groups: 4, beams: 1, penalty })
      return new Set(found.map(([{ tokens }]) => `${tokens}`)).size
    }
    expect(await distinct(0)).toBe(1)
    expect(await distinct(20)).toBe(4)
  })

  test('greedy decoding takes the most likely token every time', async () => {
    const { exact, support } = problems[name]
    const latent: number[] = []
    let logQ = 0
    for (;;) {
      const [token, value] = [...exact.get(`${latent}`)!].sort(([, a], [, b]) => b - a)[0]
      logQ += value
      if (token === support.stop) break
      latent.push(token)
    }
    const answer = await model.lanes.use((lane) => greedy().run(lane, queryOf(problems[name], { samples: 3 })))
    expect(answer.latents).toEqual([latent])
    expect(Math.abs(answer.logQ[0] - logQ)).toBeLessThan(TOLERANCE)
  })
})

test('a group that can find nothing better is done: fewer tokens are evaluated than there are prefixes to extend', async () => {
  const query = queryOf(problems['from no token'], { samples: 1 })
  const sampler = { ...query.sampler, support: { ...query.sampler.support, bias: undefined, maxTokens: 200 } }
  const { latents, cost } = await model.lanes.use((lane) => beam(2).run(lane, { ...query, sampler }))
  expect(latents[0].length).toBeLessThan(100)
  expect(cost.forwardTokens).toBeLessThan(query.prompt.length + 2 * 150)
})

test('diverse beam search gives the best of each of N groups with its log q, penalties left out', async () => {
  const problem = problems['from no token']
  const { latents, logQ } = await model.lanes.use((lane) => diverseBeam(2).run(lane, queryOf(problem, { samples: 4 })))
  expect(latents).toHaveLength(4)
  const exactOf = new Map(problem.latents.map((latent, i) => [`${latent}`, problem.logQ[i]]))
  for (const [n, latent] of latents.entries())
    expect(Math.abs(logQ![n] - exactOf.get(`${latent}`)!)).toBeLessThan(TOLERANCE)
})

test.each([0, 1.5, Number.NaN])('%d beams are refused by name', (beams) => {
  expect(() => beam(beams)).toThrow('the number of beams per sample is')
  expect(() => diverseBeam(beams)).toThrow('the number of beams per group is')
})
