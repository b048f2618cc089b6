import { afterAll, beforeAll, expect, test } from 'vitest'
import { exactConditionals, queryOf } from '../../test/exact-conditionals.ts'
import { exactProblem, modelFolder } from '../../test/exact-posterior.ts'
import { actionsOf, adding, withTool as naive } from '../../test/with-tool.ts'
import { type EnumeratedProblem, withTool } from '../evaluation/enumerate.ts'
import { scoreUnderPolicy } from '../gflownet/policy.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { seededRandom } from '../random.ts'
import { tokenLists } from '../sampling/latent.ts'
import { sampleWithTool } from '../sampling/sample.ts'
import { type BoundTool, bindTool } from '../sampling/tools.ts'
import { drawLatents, tokenDrawer } from './draw-latents.ts'
import { countForwardTokens } from './forward-tokens.ts'
import { type State, withNextTokens } from './next-tokens.ts'

const TOLERANCE = 1e-4 // nats, between decoding with a cache and one packed pass in float32

let model: LanguageModel
let problem: EnumeratedProblem
let tool: BoundTool
beforeAll(async () => {
  model = await loadLanguageModel(modelFolder, { threads: 1 })
  ;({ problem } = exactProblem(model, 5, 3))
  tool = bindTool(adding(' to', [undefined, ' so', ' very happy']), model.tokenizer)
})
const tools = ['no tool', 'a tool'] as const
const toolOf = (which: (typeof tools)[number]) => (which === 'a tool' ? tool : undefined)
afterAll(() => model.dispose())

test.each(tools)(
  'log-probabilities after rows that branch, change places and leave equal those of a packed pass: %s',
  async (which) => {
    const tool = toolOf(which)
    const exact = await exactConditionals(tool ? await withTool(problem, tool) : problem)
    const words = [...exact.get('')!.keys()].filter((token) => token !== problem.support.stop)
    const draws = seededRandom(4).at('walk')
    await model.lanes.use((lane) =>
      withNextTokens(lane, queryOf({ ...problem, tool }, { samples: 1 }).sampler, problem.prompt, async (next) => {
        const compare = async (chosen: readonly number[], state: State) => {
          expect(state.latent).toEqual(tool ? await naive(tool, chosen) : { tokens: chosen, inserted: [] })
          const expected = exact.get(`${chosen}`)!
          for (const [token, value] of state.next.entries()) {
            if (!expected.has(token)) expect(value).toBe(-Infinity)
            else expect(Math.abs(value - expected.get(token)!)).toBeLessThan(TOLERANCE)
          }
        }
        await compare([], next.first)
        let sequences: number[][] = [[]]
        for (let length = 1; length <= 3; length++) {
          const steps = Array.from({ length: 12 }, () => ({
            parent: draws.integer(sequences.length),
            token: words[draws.integer(words.length)],
          }))
          sequences = steps.map(({ parent, token }) => [...sequences[parent], token])
          const rows = await next.after(steps)
          for (const [i, sequence] of sequences.entries()) await compare(sequence, rows[i])
        }
      }),
    )
  },
)

test.each(tools)(
  'drawing from log-probabilities equals drawing inside the graph, number by number: %s',
  async (which) => {
    const support = { ...problem.support, minTokens: 1, maxTokens: 10, bias: undefined }
    const sampler = { model: model.description, support, tool: toolOf(which) }
    const samples = 60
    await model.lanes.use(async (lane) => {
      const inGraph = await sampleWithTool(lane, sampler, {
        prompt: problem.prompt,
        temperatures: new Array(samples).fill(1),
        draws: seededRandom(8).at('same'),
      })
      const query = queryOf(problem, { samples, sampler, draws: seededRandom(8).at('same') })
      const { latents, logQ } = await drawLatents(lane, query)
      expect(latents).toEqual(inGraph)
      expect(new Set(latents.map((latent) => actionsOf(latent).length)).size).toBeGreaterThan(2)
      expect(latents.some(({ inserted }) => inserted.length > 0)).toBe(which === 'a tool')
      const scores = await scoreUnderPolicy(lane, sampler, { prompt: problem.prompt, ...tokenLists(latents) })
      for (const [n, score] of scores.entries()) expect(Math.abs(logQ[n] - score.logQ)).toBeLessThan(TOLERANCE)
    })
  },
)

test('every token that goes through the layers is counted: the prompt once, equal sequences once, forced ⊤ not at all', async () => {
  const [a, b] = [...(await exactConditionals(problem)).get('')!.keys()].filter(
    (token) => token !== problem.support.stop,
  )
  const { sampler, reward, tokenizer, prompt } = queryOf(problem, { samples: 1 })
  await model.lanes.use(async (uncounted) => {
    const { lane, forwardTokens } = countForwardTokens(uncounted)
    const step = (parent: number, token: number) => ({ parent, token })
    await withNextTokens(lane, sampler, prompt, async (next) => {
      expect(forwardTokens()).toBe(prompt.length)
      await next.after([step(0, a), step(0, b), step(0, a)])
      expect(forwardTokens()).toBe(prompt.length + 2)
      await next.after([step(0, b), step(2, b), step(2, a)])
      expect(forwardTokens()).toBe(prompt.length + 4)
      await next.after([step(0, a), step(1, b)])
      expect(forwardTokens()).toBe(prompt.length + 4)
    })
    await withNextTokens(
      lane,
      { ...sampler, tool: async (tokens) => (tokens.at(-1) === a ? [b, b] : []) },
      prompt,
      async (next) => {
        const before = forwardTokens()
        await next.after([step(0, a), step(0, b), step(0, a)])
        expect(forwardTokens() - before).toBe(3 + 1) // what the tool added too, and no padding
        await next.after([step(0, b), step(1, b)])
        expect(forwardTokens() - before).toBe(3 + 1 + 2)
      },
    )
    const before = forwardTokens()
    const context = { lane, model: sampler.model, tokenizer, support: sampler.support, prompt }
    await reward.score(context, [[a, b], [a, a], [b]])
    expect(forwardTokens() - before).toBe(prompt.length + 4) // a prefix tree: a, ab, aa, b
  })
})

test('a draw is the first token whose cumulative mass exceeds its number; what has no mass is never drawn', () => {
  const masses = [-Infinity, Math.log(2), -Infinity, Math.log(1), Math.log(1), -Infinity]
  const draw = tokenDrawer(masses)
  expect(draw(0)).toEqual({ token: 1, logQ: Math.log(2) - Math.log(4) })
  expect(draw(0.499).token).toBe(1)
  expect(draw(0.501).token).toBe(3)
  expect(draw(0.749).token).toBe(3)
  expect(draw(0.751).token).toBe(4)
  expect(draw(1 - 2 ** -53).token).toBe(4)
  expect(() => tokenDrawer([-Infinity])).toThrow('no token may follow')
})
