import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { initialAdapter } from '../adapters/lora.ts'
import { UserError } from '../errors.ts'
import { evaluateSamplers } from '../evaluation/evaluate.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { scoreText } from '../models/score-text.ts'
import { seededRandom } from '../random.ts'
import { parseTrainingConfig } from '../trainers/config.ts'
import { supportOf } from '../trainers/prompts.ts'
import { embeddedModel } from './embedded.ts'
import { subjectivity, subjectivityTask } from './subjectivity.ts'
import type { Example, Task, TaskEvaluation } from './task.ts'
import { promptsOf, startRun } from './task-run.ts'

const TOLERANCE = 1e-3 // nats, between packed and separate passes in float32

let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(embeddedModel, { threads: 1 })
})
afterAll(() => model?.dispose())

const review = { text: 'the songs are lovely .', label: 'subjective' }
const record = (task: Task) => ({
  training: parseTrainingConfig(task.defaults, 'defaults'),
  chat: null,
  demonstrations: [],
})

/** log p(text | before), nats, by a plain pass over both. */
async function logLikelihood(before: string, ...texts: string[]): Promise<number> {
  const prompt = model.tokenizer.encodePrompt(before)
  const tokens = [...prompt, ...texts.flatMap((text) => model.tokenizer.encodeContinuation(text))]
  const scores = await model.lanes.use((lane) => scoreText(lane, { model: model.description }, tokens))
  return scores.slice(prompt.length - 1).reduce((sum, score) => sum + score, 0)
}
const QUERY = 'Classify this movie review as objective or subjective: "the songs are lovely ." This review is'

describe('the prompt and the reward', () => {
  test('are those of the paper: the likelihood of the rationale, the comma and the label, as one text', async () => {
    const [{ tokens, reward }] = promptsOf({ task: subjectivity, model, record: record(subjectivity) }, [review])
    expect(tokens).toEqual(model.tokenizer.encodePrompt(QUERY))
    const support = supportOf(record(subjectivity).training, model)
    const rationale = ' so nice'
    const { logReward } = await model.lanes.use((lane) =>
      reward.score(
        { lane, model: model.description, tokenizer: model.tokenizer, support, prompt: tokens, onlyWhole: true },
        [model.tokenizer.encodeContinuation(rationale)],
      ),
    )
    const expected = await logLikelihood(QUERY, rationale, ',', ' so it is subjective.')
    expect(Math.abs(logReward[0].at(-1)! - expected)).toBeLessThan(TOLERANCE)
  })

  test('a label may be a number or a word; others are refused by name', () => {
    const rightOf = (label: string) => subjectivity.answer!({ text: 'x', label }, model).right?.answer
    expect(['0', 'objective', '1', 'Subjective '].map(rightOf)).toEqual([
      'objective',
      'objective',
      'subjective',
      'subjective',
    ])
    expect(() => rightOf('2')).toThrow(/^the review "x": "2" is no label; write objective or 0, subjective or 1$/)
  })

  test('a review without a label has a prompt, and a reward that says what is missing', async () => {
    const { prompt, reward } = subjectivity.prompt({ text: review.text }, model)
    expect(prompt).toBe(QUERY)
    await expect(reward.check!({} as never)).rejects.toThrow(/^reward: the label is missing; /)
    expect(subjectivity.answer!({ text: review.text }, model)).not.toHaveProperty('right')
  })
})

describe('the evaluation', () => {
  const examples: Example[] = [
    review,
    { text: 'a boy finds a dog by the sea .', label: '0' },
    { text: 'the story is dull .', label: '1' },
  ]
  const training: Example[] = [
    { text: 'a girl loses a red key .', label: '0' },
    { text: 'the music is a joy .', label: '1' },
  ]

  async function evaluationOf(task: Task): Promise<TaskEvaluation> {
    const { training: config } = record(task)
    const what = {
      model,
      support: supportOf(config, model),
      samplers: { base: undefined },
      prompts: promptsOf({ task, model, record: record(task) }, examples),
      rewardTemperature: 1,
      random: seededRandom(0),
    }
    const evaluations = await evaluateSamplers({ ...what, samples: 12 })
    return { ...what, examples, evaluations, training, demonstrations: [] }
  }

  test('holds the rationales against the model that is asked directly, without and with labelled reviews', async () => {
    const { figures, notes, pictures } = await subjectivity.evaluate!(await evaluationOf(subjectivity))
    expect(Object.keys(figures)).toEqual(['zero-shot', '2-shot', 'base'])
    const direct = await Promise.all(['objective', 'subjective'].map((label) => logLikelihood(QUERY, ` ${label}.`)))
    expect(direct[0]).toBeGreaterThan(direct[1]) // the embedded model says "objective" of everything
    expect(figures['zero-shot'].accuracy).toBeCloseTo(1 / 3, 10)
    expect(Object.keys(figures.base)).toEqual(['accuracy', 'calibration error', 'accuracy by vote', 'epistemic, nats'])
    expect(figures.base['epistemic, nats']).toBeGreaterThanOrEqual(0)
    expect(notes!.some((note) => /^base, objective because: "/.test(note))).toBe(true)
    expect(Object.keys(pictures!)).toEqual(['reliability'])
  })

  test('where the reference model has learned too, it is asked with and without what it learned', async () => {
    const evaluation = await evaluationOf(subjectivity)
    const lora = { rank: 2, alpha: 2, targets: model.description.defaultTargets }
    const reference = initialAdapter(lora, model.description.linears, seededRandom(3))
    const noise = seededRandom(3).at('noise')
    for (const { data } of Object.values(reference.weights))
      for (let i = 0; i < data.length; i++) (data as Float32Array)[i] += 0.2 * noise.normal()
    const { figures, notes } = await subjectivity.evaluate!({ ...evaluation, reference })
    const before = await subjectivity.evaluate!(evaluation)
    expect(Object.keys(figures)).toEqual(['zero-shot', '2-shot', 'base', 'base, after the M-step'])
    expect(figures.base).toEqual(before.figures.base)
    expect(figures['base, after the M-step']['epistemic, nats']).not.toBe(figures.base['epistemic, nats'])
    expect(notes!.some((note) => /^base, after the M-step, \w+ because: "/.test(note))).toBe(true)
  })

  test('labels whose words begin with the same token are told apart, by their whole texts', async () => {
    const words = { objective: 'a story', subjective: 'a song' }
    const tokens = Object.values(words).map((word) => model.tokenizer.encodeContinuation(` ${word}.`))
    expect(tokens[0][0]).toBe(tokens[1][0])
    const task = subjectivityTask({ words, normalised: true })
    const rows = ['objective', 'subjective'].map((label) => ({ ...review, label }))
    const context = { model: model.description, tokenizer: model.tokenizer, onlyWhole: true }
    const support = supportOf(record(task).training, model)
    const latents = [model.tokenizer.encodeContinuation(' so nice')]
    const logLabels: number[] = []
    for (const { tokens: prompt, reward } of promptsOf({ task, model, record: record(task) }, rows)) {
      const { parts } = await model.lanes.use((lane) => reward.score({ lane, support, prompt, ...context }, latents))
      logLabels.push(parts.label[0].at(-1)!)
    }
    const query = QUERY.replace('objective or subjective', 'a story or a song')
    const alone = await Promise.all(
      Object.values(words).map((word) => logLikelihood(query, ' so nice', ',', ` so it is ${word}.`)),
    )
    expect(logLabels[0] - logLabels[1]).toBeCloseTo(alone[0] - alone[1], 3)
    expect(Math.exp(logLabels[0]) + Math.exp(logLabels[1])).toBeCloseTo(1, 6)
    const { figures } = await task.evaluate!(await evaluationOf(task))
    expect(figures.base['calibration error']).toBeLessThan(0.9)
  })

  test('says how many labelled reviews the context holds, and does without where it holds none', async () => {
    const long = Array.from({ length: 90 }, () => 'and so on and on').join(' ')
    const evaluation = await evaluationOf(subjectivity)
    const { figures, notes } = await subjectivity.evaluate!({
      ...evaluation,
      training: training.map((row) => ({ ...row, text: `${row.text} ${long}` })),
    })
    expect(Object.keys(figures)).toEqual(['zero-shot', 'base'])
    expect(notes![0]).toBe('0 of 2 demonstrations fit into the context')
  })
})

describe('bad data', () => {
  const home = mkdtempSync(join(tmpdir(), 'subjectivity-'))
  afterAll(() => rmSync(home, { recursive: true }))
  const file = (name: string, rows: readonly Example[]) => {
    writeFileSync(join(home, name), JSON.stringify(rows))
    return join(home, name)
  }
  const both = [review, { text: 'a boy finds a dog .', label: 'objective' }]

  test.each<[string, { data: Example[]; testData?: Example[] }, RegExp]>([
    ['one class only', { data: [review, { ...review, text: 'the story is dull .' }] }, /every review is subjective: /],
    ['an unknown label', { data: [...both, { text: 'so', label: 'both' }] }, /the review "so": "both" is no label; /],
    ['an empty test set', { data: both, testData: [] }, /test\.json: there are no rows in it$/],
    ['a row without a label', { data: [...both, { text: 'so' }] }, /1 row has nothing in column "label"/],
  ])('%s is refused in one line, before anything is written', async (_, { data, testData }, message) => {
    const folder = join(home, 'run')
    const error = await startRun({
      task: 'subjectivity',
      model: embeddedModel,
      data: file('data.json', data),
      ...(testData && { testData: file('test.json', testData) }),
      folder,
    }).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(UserError)
    expect((error as UserError).message).toMatch(message)
    expect((error as UserError).message.split('\n')).toHaveLength(1)
    expect(readdirSync(home)).not.toContain('run')
  })
})
