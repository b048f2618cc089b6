/** Expectation-maximisation on a problem whose optimum is known, and its runs, which stop and go on in either phase. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readPeftFolder } from '../src/adapters/peft.ts'
import { type LanguageModel, loadLanguageModel } from '../src/models/language-model.ts'
import { scoreText } from '../src/models/score-text.ts'
import { posterior } from '../src/rewards/posterior.ts'
import { embeddedModel } from '../src/tasks/embedded.ts'
import { evaluateRun } from '../src/tasks/report.ts'
import {
  latestAdapter,
  latestReference,
  openRun,
  promptsOf,
  type ReadyRun,
  resumeRun,
  startRun,
  train,
} from '../src/tasks/task-run.ts'
import { parseTrainingConfig } from '../src/trainers/config.ts'
import type { TrainingEvent } from '../src/trainers/events.ts'
import { rewardContext } from '../src/trainers/methods/method.ts'
import { fineTune } from '../src/trainers/train.ts'
import { evidenceByRound, latentVariableProblem, OPTIMUM } from './latent-variable-problem.ts'

let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(embeddedModel)
})
afterAll(() => model.dispose())

test('the marginal likelihood never falls over rounds and ends within 0.05 nats of the best there is', async () => {
  const [rounds, steps, further] = [4, 15, 12]
  const problem = latentVariableProblem(model, {
    steps,
    seed: 1,
    em: { rounds, steps: further, samples: 8, learningRate: 2e-3 },
    optimizer: { learningRate: 2e-3 },
    checkpoints: { every: steps + further },
  })
  const { evidence, gap } = await evidenceByRound(problem)
  expect(evidence).toHaveLength(rounds + 1)
  expect(evidence[0]).toBeLessThan(OPTIMUM - 10)
  for (const [i, value] of evidence.slice(1).entries()) {
    expect(value).toBeGreaterThan(evidence[i] - 0.01)
    expect(value).toBeLessThan(OPTIMUM + 1e-3) // rounding; more would contradict the bound
  }
  expect(evidence.at(-1)).toBeGreaterThan(OPTIMUM - 0.05)
  expect(gap).toBeLessThan(0.1)
})

/** Events of a run of two short rounds, with the last one's state. */
async function shortRun(options: Parameters<typeof latentVariableProblem>[1] = {}, stopAt?: number) {
  const em = { rounds: 2, steps: 2, samples: 4, ...options.em }
  const problem = latentVariableProblem(model, { steps: 3, samplesPerPrompt: 8, ...options, em })
  const stop = new AbortController()
  const events: TrainingEvent[] = []
  for await (const event of problem.run({ signal: stop.signal })) {
    events.push(event)
    if (event.kind === 'step' && event.step === stopAt) stop.abort()
  }
  const last = events.at(-1)!
  if (last.kind !== 'finished') throw new Error('the run ended without its last event')
  return { problem, events, state: last.state }
}

test('events count the steps of both phases in one row and say which phase it is', async () => {
  const { events, state } = await shortRun()
  expect(events[0]).toMatchObject({ kind: 'started', step: 0, steps: 10 })
  const steps = events.flatMap((event) =>
    event.kind === 'step' ? [`${event.step} ${event.phase?.name} ${event.phase?.round}`] : [],
  )
  const phase = (from: number, count: number, name: string) =>
    Array.from({ length: count }, (_, i) => `${from + i} ${name}`)
  expect(steps).toEqual([
    ...phase(1, 3, 'expectation 1'),
    ...phase(4, 2, 'maximisation 1'),
    ...phase(6, 3, 'expectation 2'),
    ...phase(9, 2, 'maximisation 2'),
  ])
  expect(state.step).toBe(6)
  expect(state.reference?.step).toBe(4)
  const learned = events.filter((event) => event.kind === 'step' && event.phase?.name === 'maximisation')
  for (const event of learned) {
    if (event.kind !== 'step') continue
    expect(event.metrics['reward/logMean']).toBeNaN()
    expect(event.metrics['policy/logMean']).toBeLessThan(0)
    expect(event.metrics['evidence/lowerBound']).toBeLessThan(0)
  }
})

test('after an M-step the stored latents have the rewards of the new reference model', async () => {
  const { problem, state } = await shortRun({}, 6)
  expect(state.step).toBe(4)
  const { adapter } = state.reference!
  let compared = 0
  for (const { name, prompt, reward } of problem.prompts)
    for (const { tokens, logReward, source } of state.buffer.prompts[name]) {
      const run = { model, support: problem.support, config: parseTrainingConfig({}, 'test') }
      const score = (reference?: typeof adapter) =>
        model.lanes.use(async (lane) => {
          const context = rewardContext(lane, { ...run, reference }, prompt)
          return (await reward.score(context, [tokens])).logReward[0]
        })
      const [now, before] = [await score(adapter), await score()]
      for (const [i, value] of logReward.entries()) expect(value).toBeCloseTo(now[i], 4)
      expect(Math.abs(now[tokens.length] - before[tokens.length])).toBeGreaterThan(1e-3)
      expect(source).not.toBe('replay')
      compared++
    }
  expect(compared).toBeGreaterThan(10)
})

describe('an M-step learns log p(Z Y | X)', () => {
  const logP = async (beginning: readonly number[], rest: readonly number[]) => {
    const scores = await model.lanes.use((lane) =>
      scoreText(lane, { model: model.description }, [...beginning, ...rest]),
    )
    return scores.slice(beginning.length - 1)
  }
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0)
  const beginning = 'Tom had a dog.'
  const [X, Y] = [() => model.tokenizer.encodePrompt(beginning), () => model.tokenizer.encodeContinuation(' He ran.')]

  let latents: (readonly number[])[] = []

  /** Figures of the first M-step, whose reference model is the model as it is; its latents are kept. */
  async function firstMaximisation(em: object, answer: object) {
    const run = fineTune({
      model,
      prompts: [
        { prompt: beginning, reward: posterior({ ending: ' He ran.' }), answer: { text: ' He ran.', ...answer } },
      ],
      steps: 1,
      promptsPerStep: 1,
      latent: { maxTokens: 3 },
      em: { rounds: 1, steps: 1, samples: 2, ...em },
    })
    for await (const event of run) {
      if (event.phase?.name !== 'maximisation') continue
      if (event.kind === 'samples') latents = event.samples.map(({ tokens }) => tokens)
      if (event.kind === 'step') return event.metrics
    }
    throw new Error('there was no M-step')
  }
  const stop = () => model.tokenizer.encodeContinuation('.')

  test.each([
    ['with the full stop between them', {}, {}],
    ['without it', {}, { stopInText: false }],
    ['or log p(Y | X Z), where only the answer is asked for', { answerOnly: true }, {}],
  ])('%s', async (_, em, answer) => {
    const metrics = await firstMaximisation(em, answer)
    expect(latents).toHaveLength(2)
    const expected = await Promise.all(
      latents.map(async (latent) => {
        const before = [...latent, ...('stopInText' in answer ? [] : stop())]
        const scores = await logP(X(), [...before, ...Y()])
        return sum('answerOnly' in em ? scores.slice(before.length) : scores)
      }),
    )
    expect(metrics['loss/objective']).toBeCloseTo(-sum(expected) / 2, 3)
    if (!('answerOnly' in em))
      expect(metrics['evidence/lowerBound']).toBeCloseTo(sum(expected) / 2 - metrics['policy/logMean'], 3)
  })

  test('or, without latents, log p(Y | X): supervised fine-tuning', async () => {
    const metrics = await firstMaximisation({ samples: 0 }, {})
    expect(metrics['loss/objective']).toBeCloseTo(-sum(await logP(X(), Y())), 3)
    const { events, state } = await shortRun({ em: { samples: 0, rounds: 2, steps: 2 } })
    expect(events.filter(({ kind }) => kind === 'step')).toHaveLength(4) // no E-steps
    expect(state.step).toBe(0)
  })
})

test('prompts without an answer, or too long with it, and rewards of another likelihood are refused by name', async () => {
  const em = { rounds: 1 }
  const { run, prompts } = latentVariableProblem(model, { em })
  const started = (further: Parameters<typeof run>[0]) => run(further).next()
  const unanswered = prompts.map(({ answer: _, ...prompt }) => prompt)
  await expect(started({ prompts: unanswered })).rejects.toThrow(/prompt "0": it has no answer, which expectation-max/)
  const long = [{ ...prompts[0], answer: { text: ' big'.repeat(600) } }]
  await expect(started({ prompts: long })).rejects.toThrow(
    /its text takes .* tokens \(before the latent, latent, answer\)/,
  )
  const latent = { maxTokens: 2, renormaliseReward: true }
  await expect(started({ latent })).rejects.toThrow(/em does not go with latent\.renormaliseReward/)
})

describe('a run', () => {
  const home = mkdtempSync(join(tmpdir(), 'em-'))
  const at = (...names: string[]) => join(home, ...names)
  afterAll(() => rmSync(home, { recursive: true }))
  writeFileSync(
    at('task.ts'),
    `import { posterior } from 'flowtune'
    const answer = ({ ending }) => ({ right: { answer: ending, text: ending } })
    export default {
      columns: { beginning: 'X', ending: 'Y' },
      answer,
      prompt: ({ beginning, ending }) => ({ name: beginning + ending, prompt: beginning, reward: posterior({ ending }) }),
    }
    export const prompts = ['Tom had a dog.', 'Lily saw a cat.', 'It was a big day.'].map((beginning) => ({ beginning, ending: ' He ran.' }))
    `,
  )
  const start = (name: string) =>
    startRun({
      task: at('task.ts'),
      model: embeddedModel,
      threads: 1,
      folder: at(name),
      training: {
        steps: 3,
        promptsPerStep: 2,
        samplesPerPrompt: 6,
        latent: { maxTokens: 4 },
        em: { rounds: 2, steps: 2, samples: 4 },
        checkpoints: { every: 2, keep: 9 },
      },
    })
  async function finish(run: ReadyRun, stopAt?: number) {
    const stop = new AbortController()
    try {
      for await (const event of train(run, stop.signal))
        if (event.kind === 'step' && event.step === stopAt) stop.abort()
    } finally {
      await run.model.dispose()
    }
  }
  const read = (...names: string[]) => readFileSync(at(...names))
  const hash = (...names: string[]) =>
    createHash('sha256')
      .update(read(...names))
      .digest('hex')
  const result = (name: string) => ({
    events: read(name, 'events.jsonl')
      .toString()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line, (key, value) => (key.startsWith('time') ? undefined : (value as unknown)))),
    samples: read(name, 'samples.jsonl').toString(),
    adapters: ['adapter', 'reference-adapter'].map((folder) => hash(name, folder, 'adapter_model.safetensors')),
    state: hash(name, 'checkpoints', '000010', 'state.safetensors'),
    json: hash(name, 'checkpoints', '000010', 'state.json'),
  })

  let whole: ReturnType<typeof result>
  beforeAll(async () => {
    await finish(await start('whole'))
    whole = result('whole')
  })

  test('keeps both adapters, and says the phase of every step', () => {
    const [policy, reference] = ['adapter', 'reference-adapter'].map((folder) => readPeftFolder(at('whole', folder)))
    expect(policy.config).toEqual(reference.config)
    expect(whole.adapters[0]).not.toBe(whole.adapters[1])
    const phases = whole.events.flatMap(({ kind, phase }) => (kind === 'step' ? [`${phase.name} ${phase.round}`] : []))
    expect(new Set(phases).size).toBe(4)
  })

  test.each([
    [2, 'in the first E-step'],
    [3, 'between E-step and M-step'],
    [4, 'in an M-step'],
    [5, 'between rounds'],
    [7, 'in a later E-step'],
  ])('that was stopped after step %d, %s, goes on to the same bits', async (step) => {
    await finish(await start(`stopped ${step}`), step)
    await finish(await resumeRun(at(`stopped ${step}`)))
    expect(result(`stopped ${step}`)).toEqual(whole)
  })

  test('is evaluated under the reference model that it ended with', async () => {
    const run = await openRun(at('whole'), { threads: 1 })
    try {
      const reference = latestReference(run)
      expect(reference).toBeDefined()
      const examples = [{ beginning: 'Tom had a dog.', ending: ' He ran.' }]
      const report = await evaluateRun(run, { examples, adapter: latestAdapter(run), samples: 4 })
      const [{ tokens, logReward }] = report.prompts[0].samplers.tuned.samples
      const [prompt] = promptsOf({ ...run, reference }, examples)
      const [plain] = promptsOf(run, examples)
      const scored = (of: typeof prompt) =>
        run.model.lanes.use(async (lane) => {
          const { model } = run
          const support = { stop: model.tokenizer.encodeContinuation('.')[0], minTokens: 0, maxTokens: 4 }
          const context = rewardContext(lane, { model, support, config: parseTrainingConfig({}, 'test') }, of.tokens)
          return (await of.reward.score(context, [tokens])).logReward[0].at(-1)!
        })
      expect(logReward).toBeCloseTo(await scored(prompt), 4)
      expect(Math.abs(logReward - (await scored(plain)))).toBeGreaterThan(1e-3)
    } finally {
      await run.model.dispose()
    }
  })

  test('without answers, or without known latents to learn from, is refused before its folder is made', async () => {
    const options = { model: embeddedModel, threads: 1, folder: at('refused') }
    await expect(startRun({ ...options, task: 'infilling', training: { em: { rounds: 1 } } })).rejects.toThrow(
      /it has no answer/,
    )
    await expect(startRun({ ...options, task: 'infilling', training: { method: 'sft' } })).rejects.toThrow(
      /no prompt has any/,
    )
    await finish(await start('refused')) // the folder was not there
  })
})
