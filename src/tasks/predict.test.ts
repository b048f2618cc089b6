import { afterAll, beforeAll, expect, test } from 'vitest'
import { initialAdapter, type LoraAdapter } from '../adapters/lora.ts'
import { entropy } from '../evaluation/divergence.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { seededRandom } from '../random.ts'
import { parseTrainingConfig } from '../trainers/config.ts'
import { arithmetic } from './arithmetic.ts'
import { embeddedModel } from './embedded.ts'
import { infilling } from './infilling.ts'
import { type PredictOptions, predict, questionsOf } from './predict.ts'
import { subjectivityTask } from './subjectivity.ts'
import type { Example, Task } from './task.ts'

let model: LanguageModel
let adapter: LoraAdapter
beforeAll(async () => {
  model = await loadLanguageModel(embeddedModel, { threads: 1 })
  adapter = initialAdapter(
    { rank: 4, alpha: 8, targets: model.description.defaultTargets },
    model.description.linears,
    seededRandom(5),
  )
  const draws = seededRandom(6).at('b')
  for (const [name, { data }] of Object.entries(adapter.weights))
    if (name.includes('lora_B')) for (let i = 0; i < data.length; i++) data[i] = draws.normal() * 0.2
})
afterAll(() => model?.dispose())

const runOf = (task: Task) => ({
  task,
  model,
  record: { training: parseTrainingConfig(task.defaults ?? {}, 'defaults'), chat: null, demonstrations: [] },
})
const options = (other: Partial<PredictOptions>): PredictOptions => ({
  examples: [{ text: 'the songs are lovely .' }],
  samples: 24,
  mode: 'sample',
  random: seededRandom(3),
  ...other,
})
// Words between which the embedded model hesitates.
const reviews = subjectivityTask({ words: { objective: 'what happened', subjective: 'love' } })

test('votes are shares of the latents, and averages mean probabilities; both tell the same uncertainties', async () => {
  const [voted] = await predict(runOf(reviews), options({ adapter }))
  const [averaged] = await predict(runOf(reviews), options({ adapter, mode: 'average' }))
  const shares = voted.answers.map(({ probability }) => 24 * probability)
  expect(shares.every((share) => Math.abs(share - Math.round(share)) < 1e-9)).toBe(true)
  expect(shares.reduce((a, b) => a + b)).toBeCloseTo(24, 9)
  expect([voted.answer, voted.probability]).toEqual([voted.answers[0].answer, voted.answers[0].probability])
  const probabilities = averaged.answers.map(({ probability }) => probability)
  expect(probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 9)
  expect(averaged.totalUncertainty).toBeCloseTo(entropy(probabilities.map(Math.log)), 9)
  expect(averaged.epistemicUncertainty).toBeGreaterThan(0)
  expect(averaged.epistemicUncertainty).toBeLessThan(averaged.totalUncertainty)
  expect(voted.epistemicUncertainty).toBe(averaged.epistemicUncertainty)
  expect(voted.rationales).toHaveLength(5)
})

test('equal seeds give equal predictions, whoever else is asked about', async () => {
  const [alone] = await predict(runOf(reviews), options({ adapter }))
  const more = [{ text: 'the songs are lovely .' }, { text: 'a boy finds a dog .' }]
  const [first] = await predict(runOf(reviews), options({ adapter, examples: more }))
  expect(first).toEqual(alone)
})

test('a reference adapter answers instead of the model as it is, to the same latents', async () => {
  const [plain] = await predict(runOf(reviews), options({ mode: 'average' }))
  const [tuned] = await predict(runOf(reviews), options({ mode: 'average', reference: adapter }))
  expect(tuned.rationales.map(({ text }) => text)).toEqual(plain.rationales.map(({ text }) => text))
  expect(tuned.probability).not.toBeCloseTo(plain.probability, 3)
})

test('the right answer comes along where the example says it', async () => {
  const examples: Example[] = [{ text: 'x', label: '1' }, { text: 'y' }]
  const predictions = await predict(runOf(reviews), options({ examples, samples: 2 }))
  expect(predictions.map(({ right }) => right)).toEqual(['subjective', undefined])
})

test('answers that are written are numbers, and what is none has no vote', async () => {
  const examples = [{ question: '2 + 7 - 5', answer: '4' }]
  const [prediction] = await predict(runOf(arithmetic), options({ examples, samples: 16 }))
  expect(prediction.right).toBe('4')
  const votes = prediction.answers.reduce((sum, { probability }) => sum + probability, 0)
  expect(votes).toBeLessThanOrEqual(1 + 1e-9)
  for (const { answer } of prediction.answers) expect(answer).toMatch(/^-?\d+$/)
  if (prediction.answers.length === 0) expect(prediction.answer).toBeUndefined()
})

test('a task without answers is refused by name', async () => {
  const examples = [{ beginning: 'Tom sat.', ending: 'He was sad.' }]
  await expect(predict(runOf(infilling), options({ examples }))).rejects.toThrow(
    /^infilling has no answers to predict; draw its latents with flowtune sample$/,
  )
})

test('questions need no answers, and may have them', () => {
  const { columns, optionalColumns } = questionsOf(reviews)
  expect(Object.keys(columns)).toEqual(['text'])
  expect(Object.keys(optionalColumns!)).toEqual(['known', 'label'])
  expect(questionsOf(infilling)).toBe(infilling)
})
