/**
 * @file A task from a user's own file, TypeScript or JavaScript. Its default export is a whole task, or one function: log R of a
 * text. A function brings its prompts along, as `export const prompts`, or reads them from --data; `export const training`
 * holds training options that suit it, `export const tool` a tool that writes into latents.
 */
import { existsSync } from 'node:fs'
import { basename, extname, resolve } from 'node:path'
import { createJiti } from 'jiti'
import { z } from 'zod'
import { describeThrown, UserError } from '../errors.ts'
import { ownReward, type RewardFunction } from '../rewards/own.ts'
import type { Tool } from '../sampling/tools.ts'
import { parseTrainingConfig, type TrainingOptions } from '../trainers/config.ts'
import { measureNames } from './measures.ts'
import { type Example, following, type Task } from './task.ts'

/** Is it a file that a user names, and not one of our tasks? */
export const isTaskFile = (task: string) => /\.[cm]?[jt]s$/.test(task)

/** What `import … from 'flowtune'` means in a user's file: this very package, wherever the file is. */
const thisPackage = new URL(`../index${extname(import.meta.url)}`, import.meta.url).href

/** @throws UserError, one line each, for a file that is missing, that cannot be run, or that exports no task */
export async function loadTaskFile(path: string): Promise<Task> {
  const module = await imported(path)
  const { default: task, prompts, training, tool } = module as Partial<Record<string, unknown>>
  const refuse = (what: string, fix: string): never => {
    throw new UserError({ what, where: path, fix })
  }
  const name = basename(path, extname(path))
  if (training !== undefined) parseTrainingConfig(training, `${path}, training`)
  const rows = prompts === undefined ? undefined : rowsOf(prompts, path)
  const own = tool === undefined ? {} : { tool: toolOf(tool, path) }
  if (typeof task === 'function')
    return { ...taskOfFunction(task as RewardFunction, { name, rows, training: training ?? {} }), ...own }
  if (task === undefined)
    return refuse('it has no default export', 'export default (text, { logLikelihood }) => logLikelihood + …')
  const checked = taskSchema.safeParse(task)
  if (!checked.success) {
    const { path: key, message } = checked.error.issues[0]
    return refuse(`its default export is no task: ${key.join('.') || 'it'}: ${message}`, 'see src/tasks/task.ts')
  }
  const whole = task as Task
  if (whole.defaults) parseTrainingConfig(whole.defaults, `${path}, defaults`)
  return { ...own, ...whole, name, examples: whole.examples ?? rows }
}

async function imported(path: string): Promise<unknown> {
  if (!existsSync(path)) throw new UserError({ what: 'there is no such file', where: path })
  const virtualModules = { flowtune: await import(thisPackage) }
  const jiti = createJiti(import.meta.url, {
    virtualModules,
    interopDefault: false,
    fsCache: false,
    moduleCache: false,
  })
  try {
    return await jiti.import(resolve(path))
  } catch (error) {
    throw new UserError({ what: describeThrown(error, basename(path)), where: path, fix: 'mend the file' })
  }
}

const texts = z.record(z.string(), z.string())
const promptsSchema = z.array(z.union([z.string(), texts])).min(1)

/** Prompts as rows: a text is the column "prompt". */
function rowsOf(prompts: unknown, path: string): Example[] {
  const checked = promptsSchema.safeParse(prompts)
  if (checked.success) return checked.data.map((row) => (typeof row === 'string' ? { prompt: row } : row))
  throw new UserError({
    what: 'its prompts are no list of texts, or of objects of texts',
    where: path,
    fix: "export const prompts = ['Once upon a time']",
  })
}

function toolOf(tool: unknown, path: string): Tool {
  const checked = toolSchema.safeParse(tool)
  if (checked.success) return tool as Tool
  const { path: key, message } = checked.error.issues[0]
  throw new UserError({
    what: `it is no tool: ${key.join('.') || 'it'}: ${message}`,
    where: `${path}, tool`,
    fix: "export const tool = { name: 'adder', trigger: '=', respond: (text) => … }",
  })
}

function taskOfFunction(
  reward: RewardFunction,
  { name, rows, training }: { name: string; rows?: Example[]; training: TrainingOptions },
): Task {
  const others = [...new Set((rows ?? []).flatMap((row) => Object.keys(row)))].filter((column) => column !== 'prompt')
  return {
    name,
    summary: 'the reward of a file',
    columns: { prompt: 'the text that latents follow' },
    optionalColumns: {
      ...Object.fromEntries(others.map((column) => [column, 'for the reward'])),
      known: 'a latent that begins in the replay buffer',
    },
    defaults: training,
    examples: rows,
    prompt: (example) => ({
      name: example.prompt.trim(),
      prompt: example.prompt,
      reward: ownReward(name, reward, example),
      ...(example.known && { known: [following(example.known)] }),
    }),
    chat: ({ prompt }) => ({ messages: [{ role: 'user', content: prompt }] }),
  }
}

const isFunction = (value: unknown) => typeof value === 'function'
const toolSchema = z.looseObject({
  name: z.string().min(1),
  trigger: z.string().min(1),
  respond: z.custom(isFunction, 'it must be a function of a text'),
  timeLimitSeconds: z.number().positive().optional(),
  stop: z.custom(isFunction, 'it must be a function').optional(),
})
const taskSchema = z.looseObject({
  columns: texts,
  optionalColumns: texts.optional(),
  prompt: z.custom(isFunction, 'it must be a function of a row and a model'),
  chat: z.custom(isFunction, 'it must be a function of a row').optional(),
  measures: z.array(z.enum(measureNames)).optional(),
  tool: toolSchema.optional(),
})
