import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromRoot } from '../../test/from-root.ts'
import type { SamplerResult } from '../evaluation/evaluate.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { scoreText } from '../models/score-text.ts'
import { seededRandom } from '../random.ts'
import { bindTool } from '../sampling/tools.ts'
import { latentOf } from '../sampling/with-action.ts'
import { parseTrainingConfig } from '../trainers/config.ts'
import { supportOf } from '../trainers/prompts.ts'
import { arithmetic, arithmeticTask } from './arithmetic.ts'
import { checkEquations, lastResult, queryOf, worked } from './arithmetic-text.ts'
import { embeddedModel } from './embedded.ts'
import type { Example, TaskEvaluation } from './task.ts'
import { promptsOf, startRun, train } from './task-run.ts'

const TOLERANCE = 2e-3 // nats, between packed and separate passes in float32, over a hundred tokens

let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(embeddedModel, { threads: 1 })
})
afterAll(() => model?.dispose())

const training: Example[] = [
  { question: '6 - 4 + 1', rationale: '6 - 4 = 2, 2 + 1 = 3', answer: '3' },
  { question: '1 + 1 + 1', answer: '3' },
  { question: '9 + 4 - 8', rationale: '9 + 4 =, 13 - 8 =', answer: '5' },
  { question: '5 - 9 - 3', rationale: '5 - 9 = -4, -4 - 3 = -7', answer: '-7' },
  { question: '8 - 0 + 1', rationale: '8 - 0 = 8, 8 + 1 = 9', answer: '9' },
  { question: '7 - 7 + 1', rationale: '7 - 7 = 0, 0 + 1 = 1', answer: '1' },
]
const demonstrations = arithmetic.demonstrations!(training)
const config = parseTrainingConfig(arithmetic.defaults, 'defaults')
const record = { training: config, chat: null, demonstrations: [...demonstrations] }

test('a question is a sum, or the whole prompt as the files of the paper have it', () => {
  const query = 'Question: 2 + 7 - 5 = ? Answer:'
  for (const question of ['2 + 7 - 5', ' 2 + 7 - 5 = ', '2 + 7 - 5 = ?', query])
    expect(queryOf({ question })).toBe(query)
})

test('results that a calculator was to write are filled in', () => {
  expect(worked('9 + 4 =, 13 - 8 =')).toBe('9 + 4 = 13, 13 - 8 = 5')
  expect(worked('5 - 9 = -4, -4 - 3 = -7')).toBe('5 - 9 = -4, -4 - 3 = -7')
})

const paper = (file: string) => fromRoot(`../shared/data/gfn-lm-tuning/${file}/1digit_34_op+-_train_50.json`)
const absent = !existsSync(paper('arithmetic'))
test.skipIf(absent)(
  `all rationales of the paper with a tool are filled in as the paper does without${absent ? ': skipped, there is no ../shared/data' : ''}`,
  () => {
    const rationales = (file: string) =>
      new Map(
        (JSON.parse(readFileSync(paper(file), 'utf8')) as Record<string, string>[]).map((row) => [
          row.str_query,
          row.str_rationale,
        ]),
      )
    const [plain, withTool] = [rationales('arithmetic'), rationales('arithmetic_with_tool')]
    expect(plain.size).toBe(50)
    for (const [query, rationale] of withTool) expect(worked(rationale)).toBe(plain.get(query))
  },
)

test('equations are right or wrong; the last result is that of the last step', () => {
  expect(checkEquations(' 2 + 7 = 9, 9 - 5 = 3, x = 4, 5')).toEqual([true, false, false])
  expect(lastResult(' 2 + 7 = 9, 9 - 5 = 3')).toBe('3')
  expect([lastResult(' 2 + 7 = 9, 5'), lastResult(' 2 + 7 =')]).toEqual([undefined, undefined])
})

describe('the reward', () => {
  const asked = { question: '2 + 7 - 5', answer: '4' }
  const shown =
    'Question: 6 - 4 + 1 = ? Answer: 6 - 4 = 2, 2 + 1 = 3. The answer is 3.\n' +
    'Question: 9 + 4 - 8 = ? Answer: 9 + 4 = 13, 13 - 8 = 5. The answer is 5.\n' +
    'Question: 5 - 9 - 3 = ? Answer: 5 - 9 = -4, -4 - 3 = -7. The answer is -7.\n'

  test('is the likelihood of steps and answer after three worked examples; the policy reads the question alone', async () => {
    const task = { ...arithmetic, defaults: {} }
    const plain = { ...record, training: parseTrainingConfig({ latent: { stop: '.', maxTokens: 32 } }, 'test') }
    const [{ tokens, reward }] = promptsOf({ task, model, record: plain }, [asked])
    expect(model.tokenizer.decode(tokens)).toContain('Question: 2 + 7 - 5 = ? Answer:')
    expect(model.tokenizer.decode(tokens)).not.toContain('6 - 4')
    const support = supportOf(plain.training, model)
    const steps = ' 2 + 7 = 9, 9 - 5 = 4'
    const encode = (text: string) => model.tokenizer.encodeContinuation(text)
    const { logReward } = await model.lanes.use((lane) =>
      reward.score(
        { lane, model: model.description, tokenizer: model.tokenizer, support, prompt: tokens, onlyWhole: true },
        [encode(steps)],
      ),
    )
    const before = model.tokenizer.encodePrompt(`${shown}Question: 2 + 7 - 5 = ? Answer:`)
    const text = [...before, ...encode(steps), ...encode('.'), ...encode(' The answer is 4.')]
    const scores = await model.lanes.use((lane) => scoreText(lane, { model: model.description }, text))
    const expected = scores.slice(before.length - 1).reduce((sum, score) => sum + score, 0)
    expect(Math.abs(logReward[0].at(-1)! - expected)).toBeLessThan(TOLERANCE)
  })

  test('no example is shown itself', () => {
    const { beginning } = arithmetic.answer!(training[2], model, demonstrations)
    expect((beginning as string).split('\n')).toHaveLength(4)
    expect((beginning as string).match(/9 \+ 4 - 8/g)).toHaveLength(1)
    expect(beginning).toContain('8 - 0 = 8')
  })

  test('the task has examples of its own where the data has too few with steps', () => {
    expect(arithmetic.demonstrations!([training[1]])).toHaveLength(4)
    expect((arithmetic.answer!(asked, model).beginning as string).match(/The answer is/g)).toHaveLength(3)
  })

  test('examples that exceed the context are refused by name', () => {
    const long = { ...training[0], rationale: Array.from({ length: 60 }, () => '6 - 4 = 2').join(', ') }
    expect(() => arithmetic.prompt(asked, model, [long, ...training])).toThrow(
      /^the question "2 \+ 7 - 5": the 3 demonstrations take \d+ tokens with the question, and stories260K reads 512.*; give shorter ones/,
    )
  })

  test('an answer that is no whole number is refused by name', () => {
    expect(() => arithmetic.prompt({ question: '1 + 1', answer: 'two' }, model)).toThrow(
      /^the question "1 \+ 1": the answer "two" is no whole number; write it in digits$/,
    )
  })

  test('only digits, spaces, commas and signs may be written', () => {
    const { bias, stop } = supportOf(config, model)
    const allowed = [...bias!.keys()].filter((token) => bias![token] === 0 && token !== stop)
    expect(allowed.map((token) => model.tokenizer.textOf(token)).join('')).toMatch(/^[0-9 ,+=-]+$/)
    for (const text of [' ', '7', '+', '-', '=', ','])
      expect(allowed).toEqual(expect.arrayContaining(model.tokenizer.encodeContinuation(text)))
  })
})

test('known steps, with results or without, are latents that the policy and its calculator could write', async () => {
  const home = mkdtempSync(join(tmpdir(), 'arithmetic-'))
  const data = join(home, 'sums.json')
  const rows = training.map(({ question, answer, rationale }) => ({
    str_query: queryOf({ question }),
    num_sol: Number(answer),
    str_rationale: rationale,
  }))
  writeFileSync(data, JSON.stringify(rows))
  const run = await startRun({
    task: 'arithmetic',
    model: embeddedModel,
    threads: 1,
    data,
    columns: { question: 'str_query', answer: 'num_sol', rationale: 'str_rationale' },
    training: { steps: 1, promptsPerStep: 1, samplesPerPrompt: 4 },
    folder: join(home, 'run'),
  })
  try {
    const warnings: string[] = []
    for await (const event of train(run)) if (event.kind === 'warning') warnings.push(event.what)
    expect(warnings).toEqual([])
    expect(run.record.demonstrations).toHaveLength(4)
  } finally {
    await run.model.dispose()
    rmSync(home, { recursive: true })
  }
})

describe('the evaluation', () => {
  const examples: Example[] = [
    { question: '2 + 7 - 5', answer: '4' },
    { question: '1 + 2 + 3 + 4', answer: '10' },
  ]
  const samplesOf = async (texts: readonly string[]) => {
    const tool = bindTool(arithmetic.tool!, model.tokenizer)
    const limits = { support: supportOf(config, model), tool, room: 400 }
    const latents = await Promise.all(texts.map((text) => latentOf(model.tokenizer.encodeContinuation(text), limits)))
    return { samples: latents.map((latent) => ({ ...latent, logQ: 0, logReward: 0 })) } as unknown as SamplerResult
  }
  /** What samplers drew is given: the calculator wrote the results. */
  async function evaluationOf(task = arithmetic): Promise<TaskEvaluation> {
    const logZ = { value: 0, standardError: 0 }
    const posterior = { meanLogReward: 0, meanLogBase: 0, meanLength: 0, firstTokenEntropy: 0 }
    return {
      model,
      support: supportOf(config, model),
      ...(task.tool && { tool: bindTool(task.tool, model.tokenizer) }),
      samplers: { tuned: undefined },
      examples,
      prompts: promptsOf({ task, model, record }, examples),
      evaluations: [
        { name: 'a', logZ, posterior, samplers: { tuned: await samplesOf([' 2 + 7 =', ' 2 + 7 =,']) } },
        { name: 'b', logZ, posterior, samplers: { tuned: await samplesOf([' 1 + 2 =', ' 3 3']) } },
      ],
      training,
      demonstrations,
      rewardTemperature: 1,
      random: seededRandom(0),
    }
  }

  test('counts calls, right equations and right last results of each sampler, and answers by the number of operands', async () => {
    const evaluation = await evaluationOf()
    const { samples } = evaluation.evaluations[0].samplers.tuned
    expect(model.tokenizer.decodeContinuation(samples[0].tokens)).toBe(' 2 + 7 = 9')
    const answered = { ...evaluation, examples: [{ ...examples[0], answer: '9' }, examples[1]] }
    const { figures } = await arithmetic.evaluate!(answered)
    expect(Object.keys(figures)).toEqual([
      '0-shot',
      '3-shot',
      '3-shot steps',
      '3-shot steps, no tool',
      'tuned',
      'tuned, no tool',
    ])
    expect(figures.tuned).toMatchObject({
      'last result': 0.5, // the first question's is 9, the second's 3
      calls: 3 / 4,
      'with calls': 3 / 4,
      'equations right': 1,
    })
    expect(Object.keys(figures.tuned).slice(0, 2)).toEqual(['3 operands', '4 operands, new'])
    expect(figures['tuned, no tool'].calls).toBe(0)
    expect(figures['0-shot']).not.toHaveProperty('calls')
  })

  test('without a tool there is nothing to compare it with', async () => {
    const { figures } = await arithmeticTask({ tool: false }).evaluate!(
      await evaluationOf(arithmeticTask({ tool: false })),
    )
    expect(Object.keys(figures)).toEqual(['0-shot', '3-shot', '3-shot steps', 'tuned'])
  })
})
