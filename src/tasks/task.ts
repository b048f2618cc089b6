/** @file What a task must say: its data's columns, and the prompt with its reward that a row of them becomes. */
import type { LanguageModel } from '../models/language-model.ts'
import type { Reward, Text } from '../rewards/reward.ts'

/** One row of a task's data. */
export type Example = Readonly<Record<string, string>>

export type TaskPrompt = { name: string; prompt: Text; reward: Reward }

export type Task = {
  name: string
  /** For help texts. */
  summary: string
  /** The columns of its data, with what they hold. */
  columns: Readonly<Record<string, string>>
  /** @throws UserError where the model cannot do this task */
  prompt: (example: Example, model: Pick<LanguageModel, 'tokenizer' | 'name'>) => TaskPrompt
}
