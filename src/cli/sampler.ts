/** @file The model that a command's RUN, or its --model and --adapter, name. */
import type { LoraAdapter } from '../adapters/lora.ts'
import { UserError } from '../errors.ts'
import { type LanguageModel, type LoadOptions, loadLanguageModel } from '../models/language-model.ts'
import { loadAdapter } from '../models/load-adapter.ts'
import { findTask } from '../tasks/index.ts'
import type { Task } from '../tasks/task.ts'
import { chatTemplateOf, latestAdapter, latestReference, openRun, type PromptRecord } from '../tasks/task-run.ts'
import { parseTrainingConfig } from '../trainers/config.ts'

export type SamplerOptions = LoadOptions & { model?: string; adapter?: string; task?: string; chat?: true }

export type Sampler = {
  task: Task
  model: LanguageModel
  adapter?: LoraAdapter
  /** The reference model's own adapter, where the run trained one. */
  reference?: LoraAdapter
  record: PromptRecord
}

/** Opens what the user names, uses it and lets go of it. A model without a run has the limits that suit the task. */
export async function withSampler(
  folder: string | undefined,
  { model: modelName, adapter, task: taskName = 'infilling', chat, ...load }: SamplerOptions,
  use: (sampler: Sampler) => Promise<void>,
): Promise<void> {
  if (folder === undefined && modelName === undefined)
    throw new UserError({ what: 'there is no model to use', fix: 'name a run, or a model with --model' })
  const run =
    folder === undefined
      ? await openModel(modelName!, { taskName, chat, load })
      : await openRun(folder, { model: modelName, ...load })
  try {
    const own = adapter !== undefined ? loadAdapter(adapter, run.model.description) : undefined
    const ofRun = 'folder' in run ? { adapter: latestAdapter(run), reference: latestReference(run) } : {}
    await use({ ...run, ...ofRun, ...(own && { adapter: own }) })
  } finally {
    await run.model.dispose()
  }
}

type ModelUse = { taskName: string; chat?: true; load: LoadOptions }

async function openModel(name: string, { taskName, chat, load }: ModelUse): Promise<Sampler> {
  const task = await findTask(taskName)
  const model = await loadLanguageModel(name, load)
  const training = parseTrainingConfig(task.defaults ?? {}, 'defaults')
  return { task, model, record: { training, chat: chat ? chatTemplateOf(task, model.path) : null, demonstrations: [] } }
}
