/** @file What a task must say: its data's columns, the prompt with its reward that a row of them becomes, and what suits it. */
import type { LoraAdapter } from '../adapters/lora.ts'
import type { BaselineComparison } from '../evaluation/equal-compute/compare-baselines.ts'
import type { PromptEvaluation, Samplers } from '../evaluation/evaluate.ts'
import type { Picture } from '../evaluation/pictures/picture.ts'
import type { SentenceEncoder } from '../evaluation/sentence-encoder.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { Random } from '../random.ts'
import type { Reward, Text } from '../rewards/reward.ts'
import type { Support } from '../sampling/support.ts'
import type { BoundTool, Tool } from '../sampling/tools.ts'
import type { Chat } from '../tokenizer/chat-template.ts'
import type { TrainingOptions } from '../trainers/config.ts'
import type { Prompt } from '../trainers/prompts.ts'
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
export type PromptModel = Pick<LanguageModel, 'tokenizer' | 'name' | 'description'>

/** Where examples come from: files, or rows that the task brings along. */
export type ExampleSource = { data: string; testData?: string } | readonly Example[]

/** How an answer Y follows a latent Z under the reference model: one of some choices, or what it writes. */
export type TaskAnswer = {
  /** X, as the reference model reads it before Z; default: the prompt. */
  beginning?: Text
  /** The text that follows a latent, by the answer that it gives: `{ objective: ', so it is objective.', … }`. */
  choices?: Readonly<Record<string, string>>
  /** Where there are no choices: what the model writes on after, how far, and which answer a text gives, if any. */
  open?: { lead: string; stop: string; maxTokens: number; read: (text: string) => string | undefined }
  /** Is ⊤ a part of the text, as in the reward's `Reading`? Default true. */
  stopInText?: boolean
  /** The right answer, and Y: the text that follows a latent and gives it. Absent where the example does not say. */
  right?: { answer: string; text: string }
}

/** What a task's own evaluation may look at. */
export type TaskEvaluation = {
  model: LanguageModel
  support: Support
  tool?: BoundTool
  /** The reference model's own adapter, under which the rewards of prompts are, and answers should be asked for. */
  reference?: LoraAdapter
  /** Adapters by the names that figures go by; undefined is the base model. */
  samplers: Samplers
  /** Those that are evaluated on, their prompts, and what each sampler drew for them, in the same order. */
  examples: readonly Example[]
  prompts: readonly Prompt[]
  evaluations: readonly PromptEvaluation[]
  /** Those that the run learned from. */
  training: readonly Example[]
  /** Those of them that others are shown with. */
  demonstrations: readonly Example[]
  /** T of R^(1/T). */
  rewardTemperature: number
  random: Random
  /** What methods without training gave for the same prompts, where they were asked for. */
  baselines?: BaselineComparison
  /** What texts mean, where the user has an encoder. */
  encoder?: SentenceEncoder
}

/** How well the task itself is done, beyond how well its posterior is sampled. */
export type Outcome = {
  /** method → measure → value. Methods are the samplers and whatever else is compared with them. */
  figures: Record<string, Record<string, number>>
  /** Lines for people to read. */
  notes?: string[]
  /** By the names of their files, without extension. */
  pictures?: Record<string, Picture>
}

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
  /** The column of `columns` that holds the right answer: what is only predicted for need not have it. */
  answerColumn?: string
  /** Where latents lead to an answer. */
  answer?: (example: Example, model: PromptModel, demonstrations?: readonly Example[]) => TaskAnswer
  /** What it reports besides. */
  evaluate?: (evaluation: TaskEvaluation) => Promise<Outcome>
  /** @throws UserError where there is nothing to learn from these examples together */
  check?: (training: readonly Example[]) => void
  /** Those of the training examples that others are shown with. They are chosen once and stay in the run's record. */
  demonstrations?: (training: readonly Example[]) => readonly Example[]
  /** @throws UserError where the model cannot do this task */
  prompt: (example: Example, model: PromptModel, demonstrations?: readonly Example[]) => TaskPrompt
  /** How a chat model is asked for the same latent, instead of by the prompt; absent where it cannot be. */
  chat?: (example: Example) => Chat
}

/** A known latent as it follows a text: after a space, where it does not bring white space along. */
export const following = (text: string): string => (/^\s/.test(text) ? text : ` ${text}`)
