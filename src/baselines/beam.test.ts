import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Conditionals, exactConditionals, queryOf } from '../../test/exact-conditionals.ts'
import { exactProblem, modelFolder } from '../../test/exact-posterior.ts'
import { actionsOf, adding, withTool as naive } from '../../test/with-tool.ts'
import type { EnumeratedProblem } from '../evaluation/enumerate.ts'
import { enumerateLatents, enumeratePolicy, withTool } from '../evaluation/enumerate.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import type { Latent } from '../sampling/latent.ts'
import { type BoundTool, bindTool } from '../sampling/tools.ts'
import { beam, type Hypothesis, searchBeams } from './beam.ts'
import { diverseBeam } from './diverse-beam.ts'
import { greedy } from './greedy.ts'

const TOLERANCE = 1e-4 // nats, between decoding with a cache and one packed pass in float32

/** `actions` of each latent: it is they and what the tool adds to them. */
type Problem = EnumeratedProblem & { tool?: BoundTool; actions: number[][]; exact: Conditionals; logQ: number[] }

let model: LanguageModel
const problems: Record<string, Problem> = {}
beforeAll(async () => {
  model = await loadLanguageModel(modelFolder, { threads: 1 })
  const { problem } = exactProblem(model, 5, 3)
  const vocabulary = model.description.dimensions.vocabulary
  const add = async (name: string, minTokens: number, tool?: BoundTool) => {
    const support = { ...problem.support, minTokens }
    const actions = enumerateLatents(support, vocabulary)
    const chosen = { ...problem, support, latents: actions }
    const limited = tool ? await withTool(chosen, tool) : chosen
    const [exact, logQ] = [await exactConditionals(limited), await enumeratePolicy(limited)]
    problems[name] = { ...limited, tool, actions, exact, logQ }
  }
  await add('from no token', 0)
  await add('from two tokens', 2)
  await add(
    'from one token, with a tool',
    1,
    bindTool(adding(' was', [undefined, ' so', ' very happy']), model.tokenizer),
  )
})
afterAll(() => model.dispose())

const search = (problem: Problem, settings: Parameters<typeof searchBeams>[2]) =>
  model.lanes.use((lane) => searchBeams(lane, queryOf(problem, { samples: 1 }), settings))

/** All latents with log q, the most likely first. */
const ranked = ({ actions, logQ }: Problem) =>
  actions.map((chosen, i) => ({ chosen, logQ: logQ[i] })).sort((a, b) => b.logQ - a.logQ)

/** A latent by what the policy chose; the rest must be what the tool adds to that. */
async function choicesOf({ tool }: Problem, latent: Latent): Promise<number[]> {
  const chosen = actionsOf(latent)
  expect(latent).toEqual(tool ? await naive(tool, chosen) : { tokens: chosen, inserted: [] })
  return chosen
}

type Found = { chosen: number[]; logQ: number; score: number }

/** Diverse beam search by its definition: every candidate is listed and sorted, and every count is made anew. */
function slowSearch(
  { exact, support }: Problem,
  { groups, beams, penalty }: Parameters<typeof searchBeams>[2],
): Found[][] {
  type State = { open: Found[]; ended: Found[] }
  const states = Array.from({ length: groups }, (): State => ({ open: [{ chosen: [], logQ: 0, score: 0 }], ended: [] }))
  const sorted = (all: Found[]) => all.sort((a, b) => b.score - a.score).slice(0, beams)
  for (let length = 0; length <= support.maxTokens; length++) {
    const before: number[] = []
    for (const state of states) {
      const ends: Found[] = []
      const goesOn: Found[] = []
      for (const { chosen, logQ, score } of state.open)
        for (const [token, value] of exact.get(`${chosen}`)!)
          if (token === support.stop) ends.push({ chosen, logQ: logQ + value, score: score + value })
          else {
            const paid = penalty * before.filter((other) => other === token).length
            goesOn.push({ chosen: [...chosen, token], logQ: logQ + value, score: score + value - paid })
          }
      state.ended = sorted([...state.ended, ...ends])
      state.open = sorted(goesOn)
      const worst = state.ended[beams - 1]
      if (worst && state.open.every(({ score }) => score <= worst.score)) state.open = []
      before.push(...state.open.map(({ chosen }) => chosen[length]))
    }
  }
  return states.map(({ ended }) => ended)
}

async function expectSame(problem: Problem, found: Hypothesis[][], expected: Found[][]) {
  const choices = found.map((group) => Promise.all(group.map(({ latent }) => choicesOf(problem, latent))))
  expect(await Promise.all(choices)).toEqual(expected.map((group) => group.map(({ chosen }) => chosen)))
  for (const [g, group] of found.entries())
    for (const [i, { logQ, score }] of group.entries()) {
      expect(Math.abs(logQ - expected[g][i].logQ)).toBeLessThan(TOLERANCE)
      expect(Math.abs(score - expected[g][i].score)).toBeLessThan(TOLERANCE)
    }
}

describe.each(['from no token', 'from two tokens', 'from one token, with a tool'])('latents %s', (name) => {
  test('a beam that is wide enough finds the best of all latents, and the next best in their order', async () => {
    const best = ranked(problems[name]).slice(0, 125)
    const [found] = await search(problems[name], { groups: 1, beams: 125, penalty: 0 })
    const choices = await Promise.all(found.map(({ latent }) => choicesOf(problems[name], latent)))
    expect(choices).toEqual(best.map(({ chosen }) => chosen))
    for (const [i, { logQ }] of found.entries()) expect(Math.abs(logQ - best[i].logQ)).toBeLessThan(TOLERANCE)

    const answer = await model.lanes.use((lane) => beam(25).run(lane, queryOf(problems[name], { samples: 5 })))
    expect(answer.latents).toEqual([found[0].latent])
    expect(Math.abs(answer.logQ![0] - best[0].logQ)).toBeLessThan(TOLERANCE)
  })

  test.each([1, 2, 3, 8])('%i beams keep what the definition keeps', async (beams) => {
    const settings = { groups: 1, beams, penalty: 0 }
    await expectSame(problems[name], await search(problems[name], settings), slowSearch(problems[name], settings))
  })

  test.each([
    { groups: 2, beams: 1, penalty: 1 },
    { groups: 5, beams: 1, penalty: 1 },
    { groups: 3, beams: 2, penalty: 1 },
    { groups: 4, beams: 5, penalty: 0.3 },
    { groups: 3, beams: 2, penalty: 0 },
  ])('$groups groups of $beams beams at penalty $penalty keep what the definition keeps', async (settings) => {
    await expectSame(problems[name], await search(problems[name], settings), slowSearch(problems[name], settings))
  })

  test('without a penalty all groups find the same, with a large one each finds something else', async () => {
    const distinct = async (penalty: number) => {
      const found = await search(problems[name], { groups: 4, beams: 1, penalty })
      return new Set(found.map(([{ latent }]) => `${latent.tokens}`)).size
    }
    expect(await distinct(0)).toBe(1)
    expect(await distinct(20)).toBe(4)
  })

  test('greedy decoding takes the most likely token every time', async () => {
    const { exact, support } = problems[name]
    const chosen: number[] = []
    let logQ = 0
    for (;;) {
      const [token, value] = [...exact.get(`${chosen}`)!].sort(([, a], [, b]) => b - a)[0]
      logQ += value
      if (token === support.stop) break
      chosen.push(token)
    }
    const answer = await model.lanes.use((lane) => greedy().run(lane, queryOf(problems[name], { samples: 3 })))
    expect(await Promise.all(answer.latents.map((latent) => choicesOf(problems[name], latent)))).toEqual([chosen])
    expect(Math.abs(answer.logQ[0] - logQ)).toBeLessThan(TOLERANCE)
  })
})

test('a group that can find nothing better is done: fewer tokens are evaluated than there are prefixes to extend', async () => {
  const query = queryOf(problems['from no token'], { samples: 1 })
  const sampler = { ...query.sampler, support: { ...query.sampler.support, bias: undefined, maxTokens: 200 } }
  const { latents, cost } = await model.lanes.use((lane) => beam(2).run(lane, { ...query, sampler }))
  expect(latents[0].tokens.length).toBeLessThan(100)
  expect(cost.forwardTokens).toBeLessThan(query.prompt.length + 2 * 150)
})

test('diverse beam search gives the best of each of N groups with its log q, penalties left out', async () => {
  for (const problem of Object.values(problems)) {
    const run = await model.lanes.use((lane) => diverseBeam(2).run(lane, queryOf(problem, { samples: 4 })))
    expect(run.latents).toHaveLength(4)
    const exactOf = new Map(problem.actions.map((chosen, i) => [`${chosen}`, problem.logQ[i]]))
    for (const [n, latent] of run.latents.entries())
      expect(Math.abs(run.logQ[n] - exactOf.get(`${await choicesOf(problem, latent)}`)!)).toBeLessThan(TOLERANCE)
  }
})

test.each([0, 1.5, Number.NaN])('%d beams are refused by name', (beams) => {
  expect(() => beam(beams)).toThrow('the number of beams per sample is')
  expect(() => diverseBeam(beams)).toThrow('the number of beams per group is')
})
