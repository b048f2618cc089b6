/** @file Answers that the reference model writes on after latents. */
import { UserError } from '../errors.ts'
import { describeContext } from '../models/architecture.ts'
import type { Lane } from '../models/lane.ts'
import type { Draws } from '../random.ts'
import { sampleLatents } from '../sampling/sample.ts'
import { stopToken } from '../tokenizer/vocabulary.ts'
import type { Answering, Sampled } from './answers.ts'
import type { TaskAnswer } from './task.ts'

/** Where an answer is written and not chosen. */
export type OpenAnswer = Required<Pick<TaskAnswer, 'open'>> & Pick<TaskAnswer, 'stopInText'>

/** What was written after ⊤, the text's own end among it, and the answer that it gives; undefined where it gives none. */
export type WrittenAnswer = { tokens: number[]; answer: string | undefined }

/** Draws from p(Y | X Z) after each latent. @throws UserError where the context is too short for it */
export async function writeAnswers(
  lane: Lane,
  { model, support, reference }: Answering,
  { open, stopInText = true }: OpenAnswer,
  { prompt, latents }: Sampled,
  draws: Draws,
): Promise<WrittenAnswer[]> {
  const { tokenizer, description, name } = model
  const stop = stopToken(tokenizer, open.stop)
  const lead = tokenizer.encodeContinuation(open.lead)
  const between = stopInText ? [support.stop] : []
  const beginnings = latents.map(({ tokens }) => [...tokens, ...between, ...lead])
  const longest = Math.max(...beginnings.map(({ length }) => length))
  if (prompt.length + longest + open.maxTokens + 1 > description.dimensions.contextLength)
    throw new UserError({
      what: `what is before the answer takes ${prompt.length + longest} tokens and the answer may take ${open.maxTokens + 1}; ${name} reads ${describeContext(description)}`,
      where: 'answer',
      fix: 'shorten the question or what is shown before it',
    })
  const answering = {
    model: description,
    adapter: reference,
    support: { stop, minTokens: 0, maxTokens: open.maxTokens },
  }
  const temperatures = new Array<number>(latents.length).fill(1)
  const written = await sampleLatents(lane, answering, { prompt, temperatures, draws, beginnings })
  return written.map((tokens) => ({
    tokens: [...lead, ...tokens, stop],
    answer: open.read(tokenizer.decodeContinuation(tokens)),
  }))
}
