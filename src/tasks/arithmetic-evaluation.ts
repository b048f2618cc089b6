/**
 * @file How often sums are answered rightly: by the steps of each sampler, with the calculator and without it, held against
 * the model that answers at once and the model that is shown how others were worked. The answer is what the model writes after
 * the steps, by the majority of votes; whether the last result of the steps is right is told beside it.
 */

import type { LoraAdapter } from '../adapters/lora.ts'
import { mostFrequent } from '../evaluation/votes.ts'
import type { Lane } from '../models/lane.ts'
import type { Inserted, LatentRecord } from '../sampling/latent.ts'
import { sampleWithTool } from '../sampling/sample.ts'
import type { BoundTool } from '../sampling/tools.ts'
import { mean } from '../sums.ts'
import { promptOf } from './answers.ts'
import {
  answerIn,
  checkEquations,
  demonstration,
  lastResult,
  open,
  operandsOf,
  othersOf,
  queryOf,
} from './arithmetic-text.ts'
import { writeAnswers } from './open-answers.ts'
import type { Example, Outcome, TaskAnswer, TaskEvaluation } from './task.ts'

/** What a method says of one question: answers that vote, and the steps that lead to them, if any. */
type Solution = { votes: (string | undefined)[]; steps: readonly LatentRecord[] }

/** Samples that vote on each question. */
const VOTES = 16

/** Accuracy of every method by the number of operands, and how samplers use the tool. */
export async function evaluateArithmetic(
  evaluation: TaskEvaluation,
  answerOf: (example: Example, model: TaskEvaluation['model'], demonstrations: readonly Example[]) => TaskAnswer,
): Promise<Outcome> {
  const { model, support, tool, reference, samplers, examples, prompts, evaluations, demonstrations, random } =
    evaluation
  const methods: Record<string, Solution[]> = {}

  const answerAtOnce = (name: string, shown: (example: Example) => readonly Example[]) =>
    model.lanes.each(examples, async (lane, example, i): Promise<Solution> => {
      const before = shown(example).map((other) => `${demonstration(other, { steps: false })}\n`)
      const prompt = model.tokenizer.encodePrompt(before.join('') + queryOf(example))
      const sampled = { prompt, latents: Array.from({ length: VOTES }, () => ({ tokens: [] })) }
      const draws = random.at('answers', name, i)
      const written = await writeAnswers(lane, { model, support }, { open, stopInText: false }, sampled, draws)
      return { votes: written.map(({ answer }) => answer), steps: [] }
    })

  /** Answers after steps, which `stepsOf` draws or has, under the reference model that is shown the demonstrations. */
  const answerAfter = (
    name: string,
    stepsOf: (lane: Lane, i: number, prompt: readonly number[]) => Promise<readonly LatentRecord[]>,
  ) =>
    model.lanes.each(examples, async (lane, example, i): Promise<Solution> => {
      const prompt = promptOf(answerOf(example, model, demonstrations), prompts[i], model)
      const steps = await stepsOf(lane, i, prompt)
      const sampled = { prompt, latents: steps.slice(0, VOTES) }
      const written = await writeAnswers(
        lane,
        { model, support, reference },
        { open },
        sampled,
        random.at('answers', name, i),
      )
      return { votes: written.map(({ answer }) => answer), steps }
    })

  const drawSteps = (
    name: string,
    {
      lane,
      prompt,
      i,
      ...sampler
    }: { lane: Lane; prompt: readonly number[]; i: number; adapter?: LoraAdapter; tool?: BoundTool },
  ) => {
    const temperatures = new Array<number>(VOTES).fill(1)
    const draws = random.at('steps', name, i)
    return sampleWithTool(lane, { model: model.description, support, ...sampler }, { prompt, temperatures, draws })
  }

  const shots = `${examples.length > 0 ? othersOf(examples[0], demonstrations).length : 0}-shot`
  methods['0-shot'] = await answerAtOnce('0-shot', () => [])
  methods[shots] = await answerAtOnce(shots, (example) => othersOf(example, demonstrations))
  for (const [name, used] of withAndWithout(`${shots} steps`, tool))
    methods[name] = await answerAfter(name, (lane, i, prompt) => drawSteps(name, { lane, prompt, i, tool: used }))
  for (const [sampler, adapter] of Object.entries(samplers))
    for (const [name, used] of withAndWithout(sampler, tool))
      methods[name] = await answerAfter(name, async (lane, i) =>
        used === tool
          ? evaluations[i].samplers[sampler].samples
          : drawSteps(name, { lane, prompt: prompts[i].tokens, i, adapter }),
      )
  const notes = [
    `columns of operands: accuracy of what is written after the steps, by the majority of ${VOTES}; "new": none in training`,
    'calls: of the tool in a latent; with calls: latents that use it',
  ]
  return { figures: figuresOf(methods, evaluation), notes }
}

const withAndWithout = (name: string, tool: BoundTool | undefined): [string, BoundTool | undefined][] =>
  tool
    ? [
        [name, tool],
        [`${name}, no tool`, undefined],
      ]
    : [[name, undefined]]

function figuresOf(
  methods: Record<string, Solution[]>,
  { model, examples, training }: TaskEvaluation,
): Outcome['figures'] {
  const known = new Set(training.map(operandsOf))
  const counts = [...new Set(examples.map(operandsOf))].sort((a, b) => a - b)
  const right = examples.map(answerIn)
  const texts = (steps: readonly LatentRecord[]) =>
    steps.map(({ tokens }) => model.tokenizer.decodeContinuation(tokens))
  const shareRight = (answers: readonly (string | undefined)[], of: readonly number[]) =>
    of.filter((i) => answers[i] === right[i]).length / of.length
  const all = examples.map((_, i) => i)
  return Object.fromEntries(
    Object.entries(methods).map(([name, solutions]) => {
      const answers = solutions.map(({ votes }) => majority(votes))
      const byOperands = counts.map((count) => [
        `${count} operands${known.has(count) ? '' : ', new'}`,
        shareRight(
          answers,
          all.filter((i) => operandsOf(examples[i]) === count),
        ),
      ])
      const steps = solutions.flatMap(({ steps }) => steps)
      const equations = texts(steps).flatMap(checkEquations)
      const ofSteps = {
        'last result': shareRight(
          solutions.map(({ steps }) => majority(texts(steps.slice(0, VOTES)).map(lastResult))),
          all,
        ),
        calls: mean(steps.map(({ inserted }) => callsOf(inserted))),
        'with calls': mean(steps.map(({ inserted }) => Math.min(1, callsOf(inserted)))),
        'equations right': mean(equations.map(Number)),
      }
      return [name, { ...Object.fromEntries(byOperands), ...(steps.length > 0 && ofSteps) }]
    }),
  )
}

/** The answer that most votes are for; votes for nothing do not count. */
const majority = (votes: readonly (string | undefined)[]): string | undefined =>
  mostFrequent(
    votes.filter((vote) => vote !== undefined),
    1,
  )[0]?.value

/** How often the tool was called: an answer of it is some tokens in a row. */
const callsOf = (inserted: Inserted = []) => inserted.filter((place, n) => inserted[n - 1] !== place - 1).length
