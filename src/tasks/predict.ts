/**
 * @file Predictions (Table 1 of the paper): latents Z are sampled from q(Z | X), and each leads the reference model to an answer Y.
 * Either an answer is drawn after every latent and most votes win, or p(Y | X Z) is averaged over the latents. How much
 * of the answer's uncertainty is about which latent is right, and would go with better latents, is told beside it.
 */
import type { LoraAdapter } from '../adapters/lora.ts'
import { UserError } from '../errors.ts'
import { mostFrequent } from '../evaluation/votes.ts'
import type { Random } from '../random.ts'
import { sampleWithTool } from '../sampling/sample.ts'
import { type Judgement, judge, promptOf } from './answers.ts'
import type { Example, Task } from './task.ts'
import { limitsOf, type OpenRun, type PromptRecord, promptsOf } from './task-run.ts'

/** Is an answer drawn after each latent, or are the probabilities of answers averaged? */
export type PredictionMode = 'sample' | 'average'

export type Prediction = {
  example: Example
  /** The answer of most votes, or of the largest mean probability; undefined where no latent led to one. */
  answer: string | undefined
  /** Its share of the latents, or its mean probability. */
  probability: number
  /** Every answer that was considered, the most probable first. */
  answers: { answer: string; probability: number }[]
  /** H[Y], nats, and of it the mutual information of Z and Y: 0 where all latents agree. */
  totalUncertainty: number
  epistemicUncertainty: number
  /** The most frequent latents, each with the answer that it mostly led to. */
  rationales: { text: string; share: number; answer: string | undefined }[]
  /** Where the example says it. */
  right?: string
}

export type PredictOptions = {
  examples: readonly Example[]
  /** Of the sampler; undefined: the base model. */
  adapter?: LoraAdapter
  /** The reference model's own, which reads the latents and answers; default: the model as it is. */
  reference?: LoraAdapter
  /** Latents for each example. */
  samples: number
  mode: PredictionMode
  random: Random
  onPrompt?: (done: number, of: number) => void
}

/** Latents that are told of each example. */
const SHOWN_RATIONALES = 5

/** The task as it is where answers are asked for: its examples need not say them. */
export function questionsOf(task: Task): Task {
  const { answerColumn, columns, optionalColumns } = task
  if (answerColumn === undefined) return task
  const { [answerColumn]: what, ...questions } = columns
  return { ...task, columns: questions, optionalColumns: { ...optionalColumns, [answerColumn]: what } }
}

/** A prediction for each example, in their order. @throws UserError where the task's latents lead to no answers */
export async function predict(
  run: Pick<OpenRun, 'task' | 'model'> & { record: PromptRecord },
  { examples, adapter, reference, samples, mode, random, onPrompt }: PredictOptions,
): Promise<Prediction[]> {
  const { task, model, record } = run
  const { answer: answerOf } = task
  if (!answerOf)
    throw new UserError({
      what: `${task.name} has no answers to predict`,
      fix: 'draw its latents with flowtune sample',
    })
  const prompts = promptsOf(run, examples)
  const limits = limitsOf(run)
  let done = 0
  return model.lanes.each(examples, async (lane, example, i) => {
    const sampler = { model: model.description, adapter, ...limits }
    const temperatures = new Array<number>(samples).fill(1)
    const { tokens: prompt } = prompts[i]
    const latents = await sampleWithTool(lane, sampler, { prompt, temperatures, draws: random.at('predict', i) })
    const answer = answerOf(example, model, record.demonstrations)
    const sampled = { prompt: promptOf(answer, prompts[i], model), latents }
    const answering = { model, support: limits.support, reference }
    const judgement = await judge(lane, answering, answer, sampled, random.at('answers', i))
    const texts = latents.map(({ tokens }) => model.tokenizer.decodeContinuation(tokens))
    onPrompt?.(++done, examples.length)
    return predictionOf({ example, judgement, texts, mode, right: answer.right?.answer })
  })
}

function predictionOf({
  example,
  judgement: { drawn, answers: known, predictive },
  texts,
  mode,
  right,
}: {
  example: Example
  judgement: Judgement
  texts: readonly string[]
  mode: PredictionMode
  right: string | undefined
}): Prediction {
  const votes = (answer: string) => drawn.filter((vote) => vote === answer).length / drawn.length
  const answers = known
    .map((answer, k) => ({ answer, probability: mode === 'sample' ? votes(answer) : predictive!.probabilities[k] }))
    .sort((a, b) => b.probability - a.probability) // a stable sort: of equals the first
  return {
    example,
    answer: answers[0]?.answer,
    probability: answers[0]?.probability ?? 0,
    answers,
    totalUncertainty: predictive?.totalUncertainty ?? Number.NaN,
    epistemicUncertainty: predictive?.epistemicUncertainty ?? Number.NaN,
    rationales: mostFrequent(texts, SHOWN_RATIONALES).map(({ value, count }) => ({
      text: value.trim(),
      share: count / texts.length,
      answer: mostFrequent(
        drawn.filter((_, n) => texts[n] === value),
        1,
      )[0].value,
    })),
    ...(right !== undefined && { right }),
  }
}
