/**
 * @file How well a task labels whose latents lead to one of some labels: by the rationales of each sampler, held against the
 * reference model that is asked directly, with and without labelled examples before the question.
 */

import type { LoraAdapter } from '../adapters/lora.ts'
import { calibration } from '../evaluation/calibration.ts'
import { reliabilityDiagram } from '../evaluation/pictures/reliability.ts'
import type { PosteriorPredictive } from '../evaluation/posterior-predictive.ts'
import { mostFrequent, votingAccuracy } from '../evaluation/votes.ts'
import { mean } from '../sums.ts'
import { type Judgement, judge, judgeDirectly, promptOf } from './answers.ts'
import type { Example, Outcome, TaskAnswer, TaskEvaluation } from './task.ts'

export type Classification = {
  /** What the model says for each label. */
  words: Readonly<Record<string, string>>
  labelOf: (example: Example) => string
  answerOf: (example: Example) => TaskAnswer
  /** The text that a label follows where the model is asked directly: `… This review is` objective. */
  query: (example: Example) => string
}

/** What a method says of each example; a sampler says it by its rationales. */
type Method = {
  name: string
  predictives: readonly PosteriorPredictive[]
  /** Of those that ask by rationales: whose these are, and where they lead. */
  asked?: { sampler: string; judgements: readonly Judgement[] }
}

/** Labelled examples before the question, at most. */
const DEMONSTRATIONS = 8
/** Rationales that are told of each label. */
const SHOWN_RATIONALES = 4

/** Accuracy and calibration of every method, the reasons that each sampler gives, and a reliability diagram. */
export async function evaluateClassification(evaluation: TaskEvaluation, task: Classification): Promise<Outcome> {
  const { examples, samplers } = evaluation
  const labels = Object.keys(task.words)
  const right = examples.map(task.labelOf)
  const shown = demonstrationsThatFit(evaluation, task)
  const methods: Method[] = [
    { name: 'zero-shot', predictives: await askDirectly(evaluation, task, '') },
    ...(shown.length > 0
      ? [{ name: `${shown.length}-shot`, predictives: await askDirectly(evaluation, task, shown.join('')) }]
      : []),
  ]
  for (const name of Object.keys(samplers)) {
    methods.push(await askByRationales(evaluation, task, name))
    if (evaluation.reference) methods.push(await askByRationales(evaluation, task, name, evaluation.reference))
  }

  const calibrations = methods.map(({ name, predictives }) => ({
    name,
    calibration: calibration(
      predictives.map(({ confidence }) => Math.min(1, confidence)), // rounding may go above 1
      predictives.map(({ answer }, i) => labels[answer] === right[i]),
    ),
  }))
  const figures = methods.map(({ name, predictives, asked }, k) => [
    name,
    {
      accuracy: mean(predictives.map(({ answer }, i) => Number(labels[answer] === right[i]))),
      'calibration error': calibrations[k].calibration.expectedError,
      ...(asked && {
        'accuracy by vote': votingAccuracy<string | undefined>(
          asked.judgements.map(({ drawn }) => drawn),
          right,
        ),
        'epistemic, nats': mean(predictives.map(({ epistemicUncertainty }) => epistemicUncertainty)),
      }),
    },
  ])
  const wanted = Math.min(DEMONSTRATIONS, evaluation.training.length)
  const fewer = `${shown.length} of ${wanted} demonstrations fit into the context`
  return {
    figures: Object.fromEntries(figures),
    notes: [
      ...(shown.length < wanted ? [fewer] : []),
      ...methods.flatMap((method) => reasonsOf(method, evaluation, task)),
    ],
    pictures: {
      reliability: reliabilityDiagram(
        {
          title: 'Is it as often right as it says?',
          subtitle: `${examples.length} held-out examples; probabilities are averaged over rationales`,
        },
        calibrations,
      ),
    },
  }
}

/** @param reference  the M-step's adapter of the reference model, where it is to answer */
async function askByRationales(
  { model, support, examples, prompts, evaluations, random }: TaskEvaluation,
  { answerOf }: Classification,
  sampler: string,
  reference?: LoraAdapter,
): Promise<Method> {
  const judgements = await model.lanes.each(examples, (lane, example, i) => {
    const answer = answerOf(example)
    const sampled = {
      prompt: promptOf(answer, prompts[i], model),
      latents: evaluations[i].samplers[sampler].samples,
    }
    return judge(lane, { model, support, reference }, answer, sampled, random.at('answers', sampler, i))
  })
  return {
    name: reference ? `${sampler}, after the M-step` : sampler,
    asked: { sampler, judgements },
    predictives: judgements.map(({ predictive }) => predictive!), // there are choices
  }
}

/** The labels' probabilities right after the question. */
const askDirectly = (
  { model, examples }: TaskEvaluation,
  { words, query }: Classification,
  before: string,
): Promise<PosteriorPredictive[]> =>
  model.lanes.each(examples, (lane, example) => {
    const { encodePrompt, encodeContinuation } = model.tokenizer
    const texts = Object.values(words).map((word) => encodeContinuation(` ${word}.`))
    return judgeDirectly(lane, { model }, encodePrompt(before + query(example)), texts)
  })

/** Labelled training examples as text, as many of each label as can be: as many as fit before the longest question. */
function demonstrationsThatFit(
  { model, examples, training, random }: TaskEvaluation,
  { words, labelOf, query }: Classification,
): string[] {
  const labels = Object.keys(words)
  const draws = random.at('demonstrations')
  const left = [...training]
  const demonstrations: string[] = []
  for (let n = 0; n < DEMONSTRATIONS && left.length > 0; n++) {
    const wanted = left.filter((example) => labelOf(example) === labels[n % labels.length])
    const pool = wanted.length > 0 ? wanted : left
    const [chosen] = left.splice(left.indexOf(pool[draws.integer(pool.length)]), 1)
    demonstrations.push(`${query(chosen)} ${words[labelOf(chosen)]}.\n`)
  }
  const { encodePrompt, encodeContinuation } = model.tokenizer
  const answer = Math.max(...Object.values(words).map((word) => encodeContinuation(` ${word}.`).length))
  const takes = (shown: readonly string[]) =>
    Math.max(...examples.map((example) => encodePrompt(shown.join('') + query(example)).length)) + answer + 1
  while (demonstrations.length > 0 && takes(demonstrations) > model.description.dimensions.contextLength)
    demonstrations.pop()
  return demonstrations
}

/** What a sampler says most often where it comes to each label. */
function reasonsOf(
  { name, asked }: Method,
  { model, evaluations }: TaskEvaluation,
  { words }: Classification,
): string[] {
  if (!asked) return []
  const said = asked.judgements.flatMap(({ drawn }, i) => {
    const { samples } = evaluations[i].samplers[asked.sampler]
    return drawn.map((label, n) => ({ label, text: model.tokenizer.decodeContinuation(samples[n].tokens).trim() }))
  })
  return Object.keys(words).flatMap((label) => {
    const texts = said.flatMap((one) => (one.label === label ? one.text : []))
    const shown = mostFrequent(texts, SHOWN_RATIONALES).map(
      ({ value, count }) => `${JSON.stringify(value)} ${((100 * count) / texts.length).toFixed(0)} %`,
    )
    return shown.length > 0 ? `${name}, ${label} because: ${shown.join(', ')}` : []
  })
}
