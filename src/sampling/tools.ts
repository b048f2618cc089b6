/**
 * @file Tools that write into a latent. A tool is called by text: where a token that the policy chose completes the
 * trigger, the tool is shown the latent's text and answers with text, whose tokens are inserted. That is the same with
 * every tokenizer: the trigger may be a token of its own, the end of one ("5="), or one with a space after it ("= ").
 */
import { UserError } from '../errors.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'

export type Tool = {
  /** Names it in messages. */
  name: string
  /** The text that calls it, such as "=". */
  trigger: string
  /**
   * What to insert after the latent's text, which ends with the trigger and perhaps white space; undefined: nothing, as
   * where the text is no question that the tool understands. Equal texts must get equal answers: a latent that is drawn
   * twice is one latent. What it throws ends the run with its message.
   */
  respond: (text: string) => string | undefined | Promise<string | undefined>
  /**
   * Seconds that an answer may take, default 5. A function that computes without end in this thread cannot be stopped by
   * any limit: `isolatedTool` runs it in a thread of its own.
   */
  timeLimitSeconds?: number
  /** Called where an answer took too long, so that the tool can give up what it is doing. */
  stop?: () => void
}

/** A tool with its tokenizer: the tokens to insert after a latent whose last token was just chosen; often none. */
export type BoundTool = (tokens: readonly number[]) => Promise<number[]>

const TIME_LIMIT_SECONDS = 5

/** @throws UserError for an empty trigger; when called, (exit code 1) where the tool throws or takes too long */
export function bindTool(tool: Tool, tokenizer: Tokenizer): BoundTool {
  const { trigger, name } = tool
  if (trigger.length === 0)
    throw new UserError({ what: 'its trigger is empty', where: `tool "${name}"`, fix: 'name the text that calls it' })
  const lastByte = Buffer.from(trigger).at(-1)!
  return async (tokens) => {
    const newest = tokenizer.bytesOf(tokens[tokens.length - 1])
    if (!newest.includes(lastByte)) return [] // the usual case
    const text = tokenizer.decodeContinuation(tokens)
    if (!isCompleted(trigger, text, newest.length)) return []
    const answer = await answerInTime(tool, text)
    return answer ? tokenizer.encodeContinuation(answer) : []
  }
}

/** Does the text end with the trigger, but for white space, and was the trigger not complete before its last `bytes`? */
function isCompleted(trigger: string, text: string, bytes: number): boolean {
  const end = text.endsWith(trigger) ? text.length : text.trimEnd().length
  return text.slice(0, end).endsWith(trigger) && Buffer.byteLength(text.slice(end)) < bytes
}

async function answerInTime(tool: Tool, text: string): Promise<string | undefined> {
  const { name, timeLimitSeconds = TIME_LIMIT_SECONDS } = tool
  const refuse = (what: string, fix: string) =>
    new UserError({ what: `${what} for ${JSON.stringify(text)}`, where: `tool "${name}"`, fix }, 1)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const error = refuse(`it gave no answer within ${timeLimitSeconds} s`, 'mend it, or raise timeLimitSeconds')
    timer = setTimeout(() => {
      reject(error)
      tool.stop?.()
    }, timeLimitSeconds * 1000)
  })
  try {
    const answer: unknown = await Promise.race([callTool(tool, text), late])
    if (answer === undefined || typeof answer === 'string') return answer
    throw refuse(`it gave ${typeof answer} and not text`, 'give a string, or undefined for no insertion')
  } catch (error) {
    if (error instanceof UserError) throw error
    throw refuse(`it threw "${error instanceof Error ? error.message : error}"`, 'mend the tool, or give undefined')
  } finally {
    clearTimeout(timer)
  }
}

const callTool = async ({ respond }: Tool, text: string) => respond(text) // what it throws is a rejection
