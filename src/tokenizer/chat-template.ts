/**
 * @file A chat as the tokens that a chat model was trained on. The model's own Jinja template says how; what it writes as
 * special tokens is special, and what people say in the chat is text, also where they write `<|im_end|>`.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Environment, Interpreter, Template } from '@huggingface/jinja'
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { readJson } from '../files.ts'
import type { Tokenizer } from './tokenizer.ts'

export type ChatMessage = { role: 'system' | 'user' | 'assistant'; content: string }

/** A chat that the model is to go on with. */
export type Chat = {
  messages: readonly ChatMessage[]
  /** What the model has said already of its answer; the latent follows it directly. */
  reply?: string
}

/** A template, or several by their names. */
const templates = z.union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))]).nullish()
const configSchema = z.looseObject({ chat_template: templates })

/** The chat template of a model folder, undefined where it has none. @throws UserError for a file that is not JSON */
export function readChatTemplate(folder: string): string | undefined {
  const ownFile = join(folder, 'chat_template.jinja')
  if (existsSync(ownFile)) return readFileSync(ownFile, 'utf8')
  for (const file of ['chat_template.json', 'tokenizer_config.json']) {
    const path = join(folder, file)
    const template = existsSync(path) ? chosenTemplate(readJson(path, configSchema).chat_template) : undefined
    if (template !== undefined) return template
  }
  return undefined
}

/** Of several templates the one called "default", or the first. */
function chosenTemplate(templates: z.output<typeof configSchema>['chat_template']): string | undefined {
  if (typeof templates === 'string') return templates
  return (templates?.find(({ name }) => name === 'default') ?? templates?.[0])?.template
}

/** Some templates print today's date. A run must be the same tomorrow: every day is this one. */
const DATE = '26 Jul 2024'

/** What templates take for given. The library's own set asks the clock, and cannot be changed. */
const globals = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  date_string: DATE,
  strftime_now: () => DATE,
  raise_exception: (message: string) => {
    throw new Error(message)
  },
  range: (from: number, to?: number, step = 1) => {
    const [first, end] = to === undefined ? [0, from] : [from, to]
    return Array.from({ length: Math.max(0, Math.ceil((end - first) / step)) }, (_, i) => first + i * step)
  },
}

/**
 * The tokens of a chat up to where the model's answer goes on.
 * @throws UserError where the template cannot be read or refuses the messages
 */
export function chatTokens({ messages, reply }: Chat, template: string, tokenizer: Tokenizer): number[] {
  const nameOf = (token: number | undefined) => (token === undefined ? '' : tokenizer.textOf(token))
  const text = rendered(template, {
    messages: messages.map(({ role, content }) => ({ role, content: tokenizer.quote(content) })),
    add_generation_prompt: true,
    bos_token: nameOf(tokenizer.bosToken),
    eos_token: nameOf(tokenizer.eosToken),
  })
  return [...tokenizer.encodeTemplate(text), ...(reply ? tokenizer.encodeContinuation(reply) : [])]
}

function rendered(template: string, values: Record<string, unknown>): string {
  try {
    const environment = new Environment()
    for (const [name, value] of Object.entries({ ...globals, ...values })) environment.set(name, value)
    return String(new Interpreter(environment).run(new Template(template).parsed).value)
  } catch (error) {
    throw new UserError({
      what: `it cannot be applied: ${(error as Error).message}`,
      where: 'chat template of the model',
      fix: 'train without --chat, or use another model',
    })
  }
}
