/** @file The answers Y that follow latents Z under the reference model: p(Y | X Z), of a task that says what answers are. */
import type { LoraAdapter } from '../adapters/lora.ts'
import { UserError } from '../errors.ts'
import { resample } from '../evaluation/posterior-expectation.ts'
import { type PosteriorPredictive, posteriorPredictive } from '../evaluation/posterior-predictive.ts'
import { mostFrequent } from '../evaluation/votes.ts'
import { logSumExp } from '../log-space.ts'
import type { Lane } from '../models/lane.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { Draws } from '../random.ts'
import { scoreEndings } from '../rewards/prefix-scores.ts'
import { beginningOf, type Reward } from '../rewards/reward.ts'
import type { LatentRecord } from '../sampling/latent.ts'
import type { Support } from '../sampling/support.ts'
import type { Prompt } from '../trainers/prompts.ts'
import { type WrittenAnswer, writeAnswers } from './open-answers.ts'
import type { TaskAnswer } from './task.ts'

/** Who answers: the reference model, with an adapter of its own where it was fine-tuned itself. */
export type Answering = { model: LanguageModel; support: Support; reference?: LoraAdapter }

/** X as the reference model reads it, and latents that were sampled for it. */
export type Sampled = { prompt: readonly number[]; latents: readonly LatentRecord[] }

/** X of an answer, where it is not the policy's own prompt. */
export const promptOf = (
  { beginning }: TaskAnswer,
  { tokens }: Pick<Prompt, 'tokens'>,
  { tokenizer }: Pick<LanguageModel, 'tokenizer'>,
): readonly number[] => beginningOf(beginning, { prompt: tokens, tokenizer })

/** What the latents of one example say. */
export type Judgement = {
  /** [latents], an answer drawn from p(Y | X Z) for each; undefined where what was drawn is none. */
  drawn: (string | undefined)[]
  /** The choices, or what was drawn: at most the `MOST_ANSWERS` most frequent. */
  answers: readonly string[]
  /** Over these answers: p(Y | X Z), averaged over the latents. Undefined where there are none. */
  predictive: PosteriorPredictive | undefined
}

/** Each of more written answers than these would be scored after every latent, for next to no probability. */
const MOST_ANSWERS = 16

/** Draws an answer after each latent, and averages the probabilities of all answers. */
export async function judge(
  lane: Lane,
  answering: Answering,
  { choices, open, stopInText }: TaskAnswer,
  sampled: Sampled,
  draws: Draws,
): Promise<Judgement> {
  if (choices) {
    const answers = Object.keys(choices)
    const texts = answers.map((answer) => answering.model.tokenizer.encodeContinuation(choices[answer]))
    const logAnswers = await scoreAnswers(lane, answering, { ...sampled, texts, stopInText })
    const drawn = logAnswers.map((row) => answers[resample(row, 1, draws)[0]])
    return { drawn, answers, predictive: posteriorPredictive(logAnswers) }
  }
  if (!open) throw new Error('an answer has neither choices nor is open')
  const written = await writeAnswers(lane, answering, { open, stopInText }, sampled, draws)
  const drawn = written.map(({ answer }) => answer)
  const found = mostFrequent(
    drawn.filter((answer) => answer !== undefined),
    MOST_ANSWERS,
  )
  const answers = found.map(({ value }) => value)
  if (answers.length === 0) return { drawn, answers, predictive: undefined }
  // "4" and " 4" may be one answer in two texts: its probability is that of both.
  const texts = distinct(written.filter(({ answer }) => answer !== undefined && answers.includes(answer)))
  const scores = await scoreAnswers(lane, answering, {
    ...sampled,
    texts: texts.map(({ tokens }) => tokens),
    stopInText,
  })
  const logAnswers = scores.map((row) =>
    answers.map((answer) => logSumExp(row.filter((_, text) => texts[text].answer === answer))),
  )
  return { drawn, answers, predictive: posteriorPredictive(logAnswers) }
}

const distinct = (written: readonly WrittenAnswer[]): WrittenAnswer[] => [
  ...new Map(written.map((one) => [one.tokens.join(' '), one])).values(),
]

/** What the reference model says of texts that follow the prompt itself, as if they were all that may. */
export async function judgeDirectly(
  lane: Lane,
  { model, reference }: Omit<Answering, 'support'>,
  prompt: readonly number[],
  texts: readonly (readonly number[])[],
): Promise<PosteriorPredictive> {
  const support = { stop: 0, minTokens: 0, maxTokens: 0 }
  const nothing = { prompt, latents: [{ tokens: [] }], texts, stopInText: false }
  return posteriorPredictive(await scoreAnswers(lane, { model, support, reference }, nothing))
}

/** log p(text | X Z ⊤) of every text after each latent, nats. [latents][texts] */
async function scoreAnswers(
  lane: Lane,
  { model, support, reference }: Answering,
  {
    prompt,
    latents,
    texts,
    stopInText,
  }: Sampled & { texts: readonly (readonly number[])[]; stopInText: boolean | undefined },
): Promise<number[][]> {
  const inserted = latents.map(({ inserted = [] }) => inserted)
  const context = { lane, model: model.description, adapter: reference, support, inserted, onlyWhole: true }
  const tokens = latents.map(({ tokens }) => tokens)
  const { endings } = await scoreEndings(context, prompt, tokens, texts, { stopInText })
  return latents.map((_, n) => endings.map((ending) => ending[n][ending[n].length - 1]))
}

/** The reward of an example whose answer nobody has given: it can be predicted for, and no more. */
export function unanswered(column: string): Reward {
  const refuse = async (): Promise<never> => {
    throw new UserError({
      what: `the ${column} is missing`,
      where: 'reward',
      fix: 'give it, or ask for it with flowtune predict',
    })
  }
  return { name: 'unanswered', score: refuse, check: refuse }
}
