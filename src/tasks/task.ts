/** @file What a task must say: its data's columns, the prompt with its reward that a row of them becomes, and what suits it. */
import type { LanguageModel } from '../models/language-model.ts'
import type { Reward, Text } from '../rewards/reward.ts'
import type { Tool } from '../sampling/tools.ts'
import type { Chat } from '../tokenizer/chat-template.ts'
import type { TrainingOptions } from '../trainers/config.ts'
import type { MeasureName } from './measures.ts'

/** One row of a task's data. A column that is optional may be absent. */
export type Example = Readonly<Record<string, string>>

export type TaskPrompt = {
  /** Names it in messages and in the run's record. */
  name: string
  prompt: Text
  reward: Reward
  /** Latents that are known to be good, as they follow the prompt: they begin in the replay buffer. */
  known?: readonly Text[]
}

/** What of a model a prompt may depend on. */
export type PromptModel = Pick<LanguageModel, 'tokenizer' | 'name'>

/** Where examples come from: files, or rows that the task brings along. */
export type ExampleSource = { data: string; testData?: string } | readonly Example[]

export type Task = {
  name: string
  /** For help texts. */
  summary: string
  /** The columns of its data, with what they hold. Two examples with the same texts in them are the same example. */
  columns: Readonly<Record<string, string>>
  /** Columns that the data may have besides. */
  optionalColumns?: Readonly<Record<string, string>>
  /** Training options that suit the task; the user's go before them. */
  defaults?: TrainingOptions
  /** Examples to learn from where the user gives none. */
  examples?: ExampleSource
  /** Reads along and inserts into latents while they are sampled. */
  tool?: Tool
  /** What its results are told in; default: `usualMeasures`. */
  measures?: readonly MeasureName[]
  /** @throws UserError where the model cannot do this task */
  prompt: (example: Example, model: PromptModel) => TaskPrompt
  /** How a chat model is asked for the same latent, instead of by the prompt; absent where it cannot be. */
  chat?: (example: Example) => Chat
}

/** A known latent as it follows a text: after a space, where it does not bring white space along. */
export const following = (text: string): string => (/^\s/.test(text) ? text : ` ${text}`)
