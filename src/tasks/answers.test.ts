import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { scoreText } from '../models/score-text.ts'
import { seededRandom } from '../random.ts'
import type { Support } from '../sampling/support.ts'
import { judge, judgeDirectly } from './answers.ts'
import { embeddedModel } from './embedded.ts'
import { writeAnswers } from './open-answers.ts'

let model: LanguageModel
let support: Support
let prompt: number[]
const encode = (text: string) => model.tokenizer.encodeContinuation(text)
beforeAll(async () => {
  model = await loadLanguageModel(embeddedModel, { threads: 1 })
  support = { stop: encode('.')[0], minTokens: 0, maxTokens: 8 }
  prompt = model.tokenizer.encodePrompt('Tom had a dog.')
})
afterAll(() => model?.dispose())

async function logLikelihood(before: readonly number[], text: string): Promise<number> {
  const tokens = [...before, ...encode(text)]
  const scores = await model.lanes.use((lane) => scoreText(lane, { model: model.description }, tokens))
  return scores.slice(before.length - 1).reduce((sum, score) => sum + score, 0)
}
const softmax = (values: readonly number[]) => {
  const weights = values.map(Math.exp)
  const sum = weights.reduce((a, b) => a + b, 0)
  return weights.map((weight) => weight / sum)
}

test('choices are drawn and averaged by the likelihood of their texts after each latent and ⊤', async () => {
  const choices = { happy: ' He was happy.', sad: ' He was sad.' }
  const latents = [' It ran away', ' It was red'].map((text) => ({ tokens: encode(text) }))
  const many = Array.from({ length: 400 }, (_, n) => latents[n % 2])
  const { drawn, answers, predictive } = await model.lanes.use((lane) =>
    judge(lane, { model, support }, { choices }, { prompt, latents: many }, seededRandom(0).at('x')),
  )
  expect(answers).toEqual(['happy', 'sad'])
  const exact = await Promise.all(
    latents.map(async ({ tokens }) => {
      const before = [...prompt, ...tokens, support.stop]
      return softmax(await Promise.all(Object.values(choices).map((text) => logLikelihood(before, text))))
    }),
  )
  const meanHappy = (exact[0][0] + exact[1][0]) / 2
  expect(predictive!.probabilities[0]).toBeCloseTo(meanHappy, 4)
  for (const which of [0, 1]) {
    const share = drawn.filter((answer, n) => n % 2 === which && answer === 'happy').length / 200
    const deviation = Math.sqrt((exact[which][0] * exact[which][1]) / 200)
    expect(Math.abs(share - exact[which][0])).toBeLessThan(4 * deviation)
  }
})

test('without latents the texts follow the prompt', async () => {
  const texts = [' He was happy.', ' He was sad.']
  const { probabilities } = await model.lanes.use((lane) => judgeDirectly(lane, { model }, prompt, texts.map(encode)))
  const exact = softmax(await Promise.all(texts.map((text) => logLikelihood(prompt, text))))
  expect(probabilities[0]).toBeCloseTo(exact[0], 4)
})

const open = { lead: ' The dog was', stop: '.', maxTokens: 3, read: (text: string) => text.trim() || undefined }

test('written answers follow the latent, ⊤ and the lead, as often as the model says, however long the latents are', async () => {
  const latents = [' It ran', ' It was red and very big'].map((text) => ({ tokens: encode(text) }))
  const SAMPLES = 600
  const many = Array.from({ length: 2 * SAMPLES }, (_, n) => latents[n % 2])
  const written = await model.lanes.use((lane) =>
    writeAnswers(lane, { model, support }, { open }, { prompt, latents: many }, seededRandom(0).at('x')),
  )
  for (const [which, { tokens }] of latents.entries()) {
    const own = written.filter((_, n) => n % 2 === which)
    const before = [...prompt, ...tokens, support.stop]
    const p = Math.exp((await logLikelihood(before, `${open.lead} so`)) - (await logLikelihood(before, open.lead)))
    const share = own.filter(({ tokens }) => tokens[encode(open.lead).length] === encode(' so')[0]).length / SAMPLES
    expect(encode(' so')).toHaveLength(1)
    expect(p).toBeGreaterThan(0.01)
    expect(Math.abs(share - p)).toBeLessThan(4 * Math.sqrt((p * (1 - p)) / SAMPLES))
  }
  expect(written.every(({ tokens }) => tokens.at(-1) === encode('.')[0])).toBe(true)
})

test('the probability of an open answer is that of all texts that say it, over the answers found', async () => {
  const latents = Array.from({ length: 64 }, () => ({ tokens: encode(' It ran') }))
  const sayings = { ...open, read: (text: string) => (/^ (so|very)( |$)/.test(text) ? text.split(' ')[1] : undefined) }
  const { drawn, answers, predictive } = await model.lanes.use((lane) =>
    judge(lane, { model, support }, { open: sayings }, { prompt, latents }, seededRandom(1).at('x')),
  )
  expect([...answers].sort()).toEqual(['so', 'very'])
  expect(drawn).toContain(undefined)
  expect(predictive!.probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 10)
  expect(predictive!.epistemicUncertainty).toBeCloseTo(0, 6) // all latents are the same one
  const votes = drawn.filter((answer) => answer !== undefined)
  const share = votes.filter((answer) => answer === answers[0]).length / votes.length
  expect(Math.abs(predictive!.probabilities[0] - share)).toBeLessThan(0.3)
})

test('latents after which nothing readable is written have no answers', async () => {
  const mute = { ...open, read: () => undefined }
  const { drawn, answers, predictive } = await model.lanes.use((lane) =>
    judge(
      lane,
      { model, support },
      { open: mute },
      { prompt, latents: [{ tokens: encode(' It ran') }] },
      seededRandom(0).at('x'),
    ),
  )
  expect([drawn, answers, predictive]).toEqual([[undefined], [], undefined])
})

test('what the context does not hold is refused by name', async () => {
  const latents = [{ tokens: new Array<number>(500).fill(300) }]
  await expect(
    model.lanes.use((lane) =>
      writeAnswers(lane, { model, support }, { open }, { prompt, latents }, seededRandom(0).at('x')),
    ),
  ).rejects.toThrow(
    /^answer: what is before the answer takes \d+ tokens and the answer may take 4; stories260K reads 512/,
  )
})
