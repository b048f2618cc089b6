/**
 * @file A language model as judge: how coherent a text is, from 1 to 5, as the paper asks GPT-4 (section 4.2). Any server that
 * speaks the chat completions of OpenAI's interface will do, also one on this machine. Nothing is sent anywhere unless an
 * address is given.
 */
import { z } from 'zod'
import { UserError } from '../errors.ts'

export type Judge = {
  /** The server's base address: "http://127.0.0.1:8080/v1". */
  address: string
  model: string
  /** Sent as a bearer token. */
  key?: string
  /** Of each question, before it fails. Default 60. */
  timeoutSeconds?: number
}

const QUESTION = `How coherent is the following story? Consider whether each sentence follows from those before it.
Answer with one digit from 1 (it makes no sense) to 5 (it makes perfect sense) and nothing else.

Story: `

const answerSchema = z.object({
  choices: z.array(z.object({ message: z.object({ content: z.string() }) })).min(1),
})

/**
 * The coherence of each text, 1 to 5, asked one after the other at temperature 0.
 * @returns [texts], undefined where the judge's answer is no digit from 1 to 5
 * @throws UserError where the server cannot be reached, refuses, or answers in another form
 */
export async function judgeCoherence(judge: Judge, texts: readonly string[]): Promise<(number | undefined)[]> {
  const scores: (number | undefined)[] = []
  for (const text of texts) scores.push(scoreIn(await ask(judge, QUESTION + text)))
  return scores
}

/** The first digit that stands alone: "4", "Score: 4/5", but not that of "2026" or "4.5". */
function scoreIn(answer: string): number | undefined {
  const digit = /(?<![\d.])[1-5](?!\d|\.\d)/.exec(answer)
  return digit ? Number(digit[0]) : undefined
}

async function ask({ address, model, key, timeoutSeconds = 60 }: Judge, question: string): Promise<string> {
  const url = `${address.replace(/\/+$/, '')}/chat/completions`
  const fail = (what: string): never => {
    throw new UserError({ what, where: url, fix: 'check the address, the key and the model of the judge' }, 1)
  }
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key !== undefined && { authorization: `Bearer ${key}` }) },
    body: JSON.stringify({ model, temperature: 0, messages: [{ role: 'user', content: question }] }),
    signal: AbortSignal.timeout(timeoutSeconds * 1000),
  }).catch((error: Error) =>
    fail(
      error.name === 'TimeoutError'
        ? `the judge did not answer within ${timeoutSeconds} s`
        : `the judge cannot be reached: ${(error.cause as Error | undefined)?.message ?? error.message}`,
    ),
  )
  if (!response.ok) return fail(`the judge refuses: ${response.status} ${response.statusText}`)
  const answer = answerSchema.safeParse(await response.json().catch(() => undefined))
  return answer.success ? answer.data.choices[0].message.content : fail('the judge answers in another form')
}
