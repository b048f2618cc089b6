/**
 * @file Inference-time methods side by side on the same prompts, within the same limits: decoding and search as they are, and
 * those that a budget makes better with equally many forward tokens for each query. A query wants N latents.
 */

import type { LoraAdapter } from '../../adapters/lora.ts'
import { type BaselineName, baselines } from '../../baselines/index.ts'
import type { Query } from '../../baselines/method.ts'
import { logMeanExp } from '../../log-space.ts'
import type { Lane } from '../../models/lane.ts'
import type { LanguageModel } from '../../models/language-model.ts'
import type { Random } from '../../random.ts'
import type { Latent } from '../../sampling/latent.ts'
import type { Support } from '../../sampling/support.ts'
import type { BoundTool } from '../../sampling/tools.ts'
import { type Estimate, meanEstimate } from '../estimate.ts'
import type { EvaluationPrompt, PromptEvaluation, Samplers } from '../evaluate.ts'
import type { SentenceEncoder } from '../sentence-encoder.ts'
import { type AnswerMeasures, againstLogZ, measureAnswer } from './answer.ts'
import { budgeted, type Given, isBudgeted, runsWithin } from './budgeted.ts'
import { runsOnAnySampler } from './laws.ts'

export type PromptAnswer = { latents: Latent[]; size: number; measures: AnswerMeasures }

/** One method, decoding or proposing from one sampler, on all prompts. */
export type MethodAnswers = {
  method: BaselineName
  sampler: string
  /** Forward tokens for each query; undefined: the method takes what it takes. */
  budget?: number
  /** [prompts]; undefined where the budget is too small, or every reward was zero. */
  answers: (PromptAnswer | undefined)[]
}

export type BaselineComparison = {
  /** N, the latents that a query wants. */
  perQuery: number
  /** Forward tokens for each query, ascending. */
  budgets: number[]
  methods: MethodAnswers[]
}

export type BaselineOptions = {
  model: LanguageModel
  support: Support
  tool?: BoundTool
  /** One of them is `undefined`, the base model: all methods run on it. Methods that have a target also run on the others. */
  samplers: Samplers
  prompts: readonly EvaluationPrompt[]
  /** Of the same prompts; their log Z, with what weighted methods find of it, is what all are held against. */
  evaluations: readonly Pick<PromptEvaluation, 'logZ'>[]
  rewardTemperature: number
  random: Random
  /** Plain sampling is always among them. */
  names: readonly BaselineName[]
  perQuery: number
  /** Default: 4, 16 and 64 times what plain sampling from the base model takes. */
  budgets?: readonly number[]
  encoder?: SentenceEncoder
  onQuery?: (done: number, of: number) => void
}

const DEFAULT_BUDGETS = [4, 16, 64]

/** Search also runs with the beams that it is published with. */
const hasOwnSetting = (name: BaselineName) => !isBudgeted(name) || name === 'beam' || name === 'diverse-beam'

type Contestant = { method: BaselineName; sampler: string }

/** Answers every prompt by every method. */
export async function compareBaselines(options: BaselineOptions): Promise<BaselineComparison> {
  const { samplers, prompts, perQuery, model, onQuery } = options
  const names = [...new Set<BaselineName>(['ancestral', ...options.names])]
  const contestants = names.flatMap((method): Contestant[] =>
    Object.entries(samplers)
      .filter(([, adapter]) => adapter === undefined || runsOnAnySampler(method))
      .map(([sampler]) => ({ method, sampler })),
  )
  const asTheyAre = contestants.filter(({ method }) => hasOwnSetting(method))
  const withBudget = contestants.filter(({ method }) => isBudgeted(method))
  const queries = prompts.length * (asTheyAre.length + withBudget.length)
  let done = 0
  const eachPrompt = <Result>(job: (lane: Lane, index: number) => Promise<Result>) =>
    model.lanes.each(prompts, async (lane, _, index) => {
      const result = await job(lane, index)
      onQuery?.(++done, queries)
      return result
    })

  await warmUp(options)
  const methods: MethodAnswers[] = []
  for (const contestant of asTheyAre) {
    const { run } = baselines[contestant.method]
    const trials = await eachPrompt((lane, index) => trial(lane, options, { ...contestant, index, size: 1 }, run))
    methods.push({ ...contestant, answers: trials.map(({ answer }) => answer) })
  }
  const budgets = [...(options.budgets ?? defaultBudgets(methods, samplers))].sort((a, b) => a - b)
  for (const contestant of withBudget) {
    const sized = budgeted[contestant.method as keyof typeof budgeted]
    const found = await eachPrompt((lane, index) =>
      runsWithin(budgets, perQuery, (size) =>
        trial(lane, options, { ...contestant, index, size }, (lane, query) => sized(lane, query, size)),
      ),
    )
    for (const [b, budget] of budgets.entries())
      methods.push({ ...contestant, budget, answers: found.map((runs) => runs[b]?.answer) })
  }
  const logZ = prompts.map((_, index) => bestLogZ(methods, index, options.evaluations[index].logZ.value))
  const held = methods.map((own) => ({
    ...own,
    answers: own.answers.map(
      (answer, index) => answer && { ...answer, measures: againstLogZ(answer.measures, logZ[index]) },
    ),
  }))
  return { perQuery, budgets, methods: held }
}

/**
 * log of the mean of all unbiased estimates of Z for a prompt: that of the evaluation, and those of all runs of weighted
 * methods. A sampler that misses what others find makes its own too small, nearly always.
 */
function bestLogZ(methods: readonly MethodAnswers[], index: number, evaluated: number): number {
  const gaps = methods.flatMap(({ answers }) => answers[index]?.measures.logZGap ?? [])
  return logMeanExp([evaluated, ...gaps.map((gap) => -gap)])
}

/** Opens on every lane what methods run, so that nobody's seconds count it. */
async function warmUp(options: BaselineOptions): Promise<void> {
  const { lanes } = options.model
  const { run } = baselines['importance-resampling']
  const lanesOfAll = Array.from({ length: lanes.count }, (_, lane) => lane)
  await lanes.each(lanesOfAll, async (lane) => {
    for (const sampler of Object.keys(options.samplers))
      await trial(lane, options, { method: 'importance-resampling', sampler, index: 0, size: 1 }, run)
  })
}

/** Runs a method on one prompt, and measures what it gives. */
async function trial(
  lane: Lane,
  { model, support, tool, samplers, prompts, rewardTemperature, random, perQuery, encoder }: BaselineOptions,
  { method, sampler, index, size }: Contestant & { index: number; size: number },
  run: (lane: Lane, query: Query) => Promise<Given>,
): Promise<{ forwardTokens: number; answer?: PromptAnswer }> {
  const { tokens, reward } = prompts[index]
  const adapter: LoraAdapter | undefined = samplers[sampler]
  const query: Query = {
    sampler: { model: model.description, adapter, support, tool },
    tokenizer: model.tokenizer,
    prompt: tokens,
    reward,
    rewardTemperature,
    samples: perQuery,
    draws: random.at('baseline', method, sampler, index, size),
  }
  const started = performance.now()
  const given = await run(lane, query)
  const seconds = (performance.now() - started) / 1000
  const { forwardTokens } = given.cost
  if (given.latents.length === 0) return { forwardTokens }
  const measures = await measureAnswer(lane, query, { method, given, seconds, size }, encoder)
  return { forwardTokens, answer: { latents: given.latents, size, measures } }
}

/** Rounded to two digits: nobody reads more. */
function defaultBudgets(methods: readonly MethodAnswers[], samplers: Samplers): number[] {
  const plain = methods.find(({ method, sampler }) => method === 'ancestral' && samplers[sampler] === undefined)!
  const tokens = meanEstimate(plain.answers.map((answer) => answer!.measures.forwardTokens)).value
  return DEFAULT_BUDGETS.map((times) => Number((times * tokens).toPrecision(2)))
}

/** Means over prompts. */
export type MethodSummary = Contestant & {
  budget?: number
  /** Prompts that it answered within its budget; the means are over these. */
  answered: number
  /** Mean of the dial that the budget turns. */
  size: number
  /** What no prompt tells is absent. */
  measures: Partial<Record<keyof AnswerMeasures, Estimate>>
}

export const summariseMethod = ({ method, sampler, budget, answers }: MethodAnswers): MethodSummary => {
  const given = answers.filter((answer) => answer !== undefined)
  const names = Object.keys(given[0]?.measures ?? {}) as (keyof AnswerMeasures)[]
  const told = names.flatMap((name) => {
    const values = given.map(({ measures }) => measures[name]).filter((value) => value !== undefined)
    return values.length > 0 ? [[name, meanEstimate(values)]] : []
  })
  return {
    method,
    sampler,
    ...(budget !== undefined && { budget }),
    answered: given.length,
    size: meanEstimate(given.map(({ size }) => size)).value,
    measures: Object.fromEntries(told),
  }
}
