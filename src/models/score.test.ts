import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LoraAdapter } from '../adapters/lora.ts'
import { readPeftFolder } from '../adapters/peft.ts'
import { logSumExp } from '../log-space.ts'
import { type Draws, seededRandom } from '../random.ts'
import { float32 } from '../runtime/host-tensor.ts'
import type { ModelDescription } from './architecture.ts'
import type { Lane, Lanes } from './lane.ts'
import { describeModel, loadWeights } from './language-model.ts'
import type { Tree } from './prefix-tree.ts'
import { type Question, scoreTree, textLogits } from './score.ts'

const golden = new URL('../../test/golden/', import.meta.url).pathname
const TOLERANCE = 1e-4 // nats; float32 sums in another order
const TREES = 8
const random = seededRandom(11)

describe.each(['llama', 'llama_rope_scaled', 'gpt2'])('%s', (name) => {
  let model: ModelDescription
  let lanes: Lanes
  let adapter: LoraAdapter
  beforeAll(async () => {
    const folder = `${golden}checkpoints/${name}`
    ;({ description: model, lanes } = await loadWeights(folder, describeModel(folder), { threads: 1 }))
    adapter = readPeftFolder(`${golden}adapters/${name}`)
  })
  afterAll(() => lanes.dispose())
  const use = <T>(job: (lane: Lane) => Promise<T>) => lanes.use(job)

  /** log p of a token after a text, by a pass over that text alone. */
  async function naive(policy: LoraAdapter | undefined, text: readonly number[], token: number) {
    const logits = await use((lane) => textLogits(lane, { model, adapter: policy }, text))
    const last = logits.subarray((text.length - 1) * model.dimensions.vocabulary)
    return last[token] - logSumExp(last)
  }

  test.each([false, true])(
    'one pass over a random tree equals a pass for every path of it (adapter: %s)',
    async (adapted) => {
      const policy = adapted ? adapter : undefined
      for (let seed = 0; seed < TREES; seed++) {
        const tree = randomTree(random.at(name, seed))
        const paths: { text: number[]; token: number }[] = []
        const answers = await use((lane) =>
          scoreTree(lane, { model, adapter: policy }, tree, ({ latentToken, branchToken }) => {
            const questions: Question[] = []
            const ask = (after: number, text: number[], token: number) => {
              questions.push({ after, token })
              paths.push({ text, token })
            }
            for (const [n, latent] of tree.latents.entries())
              for (let i = 0; i <= latent.length; i++)
                ask(latentToken(n, i - 1), [...tree.prompt, ...latent.slice(0, i)], latent[i] ?? STOP)
            for (const [b, { latent, prefix, tokens }] of tree.branches.entries()) {
              const start = [...tree.prompt, ...tree.latents[latent].slice(0, prefix)]
              for (let i = 0; i <= tokens.length; i++)
                ask(branchToken(b, i - 1), [...start, ...tokens.slice(0, i)], tokens[i] ?? STOP)
            }
            return questions
          }),
        )
        expect(answers).toHaveLength(paths.length)
        for (const [i, { text, token }] of paths.entries()) {
          const wanted = await naive(policy, text, token)
          expect(Math.abs(answers[i] - wanted), `tree ${seed}, ${token} after ${text}`).toBeLessThan(TOLERANCE)
        }
      }
    },
  )

  test('an adapter changes the answers, and leaving it out gives the reference model again', async () => {
    const tree = { prompt: [5, 6, 7], latents: [[8, 9]] }
    const ask = () => [10, 11, 12].map((token) => ({ after: 4, token }))
    const plain = await use((lane) => scoreTree(lane, { model }, tree, ask))
    const adapted = await use((lane) => scoreTree(lane, { model, adapter }, tree, ask))
    const again = await use((lane) => scoreTree(lane, { model }, tree, ask))
    expect(Math.max(...adapted.map((value, i) => Math.abs(value - plain[i])))).toBeGreaterThan(0.01)
    expect(again).toEqual(plain)

    const zero = Object.entries(adapter.weights).map(([key, { shape }]) => [key, float32(shape)])
    const idle = { ...adapter, weights: Object.fromEntries(zero) }
    const unchanged = await use((lane) => scoreTree(lane, { model, adapter: idle }, tree, ask))
    for (const [i, value] of plain.entries()) expect(Math.abs(unchanged[i] - value)).toBeLessThan(TOLERANCE)
  })

  test('questions are answered in the order of asking, also twice the same', async () => {
    const tree = { prompt: [5, 6, 7], latents: [[8, 9]] }
    const asked = [4, 0, 4, 2, 4].map((after, i) => ({ after, token: 10 + (i % 3) }))
    const answers = await use((lane) => scoreTree(lane, { model }, tree, () => asked))
    const text = [5, 6, 7, 8, 9]
    for (const [i, { after, token }] of asked.entries())
      expect(Math.abs(answers[i] - (await naive(undefined, text.slice(0, after + 1), token)))).toBeLessThan(TOLERANCE)
  })
})

const STOP = 2

/** A prompt, latents that share beginnings (one of them may be empty), and branches at any of their prefixes. */
function randomTree(draws: Draws): Required<Tree> {
  const token = () => 3 + draws.integer(128)
  const tokens = (count: number) => Array.from({ length: count }, token)
  const trunk = tokens(5)
  const latents = Array.from({ length: 1 + draws.integer(5) }, () => [
    ...trunk.slice(0, draws.integer(6)),
    ...tokens(draws.integer(4)),
  ])
  const branches = Array.from({ length: 1 + draws.integer(6) }, () => {
    const latent = draws.integer(latents.length)
    return { latent, prefix: draws.integer(latents[latent].length + 1), tokens: tokens(1 + draws.integer(4)) }
  })
  return { prompt: tokens(1 + draws.integer(8)), latents, read: [], branches }
}
