/** @file The model that a command's RUN, or its --model and --adapter, name. */
import type { LoraAdapter } from '../adapters/lora.ts'
import { UserError } from '../errors.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { loadAdapter } from '../models/load-adapter.ts'
import { findTask } from '../tasks/index.ts'
import type { Task } from '../tasks/task.ts'
import { chatTemplateOf, latestAdapter, openRun } from '../tasks/task-run.ts'
import { parseTrainingConfig } from '../trainers/config.ts'
import type { RunRecord } from '../trainers/run-record.ts'

export type SamplerOptions = { model?: string; adapter?: string; task?: string; chat?: true; threads?: number }

export type Sampler = {
  task: Task
  model: LanguageModel
  adapter?: LoraAdapter
  record: Pick<RunRecord, 'training' | 'chat'>
}

/** Opens what the user names, uses it and lets go of it. A model without a run has the limits that suit the task. */
export async function withSampler(
  folder: string | undefined,
  { model: modelFolder, adapter, task: taskName = 'infilling', chat, threads }: SamplerOptions,
  use: (sampler: Sampler) => Promise<void>,
): Promise<void> {
  if (folder === undefined && modelFolder === undefined)
    throw new UserError({ what: 'there is no model to use', fix: 'name a run, or a model with --model' })
  const run =
    folder === undefined
      ? await openModel(modelFolder!, { taskName, chat, threads })
      : await openRun(folder, { model: modelFolder, threads })
  try {
    const own = adapter !== undefined ? loadAdapter(adapter, run.model.description) : undefined
    await use({ ...run, adapter: own ?? ('folder' in run ? latestAdapter(run) : undefined) })
  } finally {
    await run.model.dispose()
  }
}

type ModelUse = { taskName: string; chat?: true; threads?: number }

async function openModel(folder: string, { taskName, chat, threads }: ModelUse): Promise<Sampler> {
  const task = await findTask(taskName)
  const model = await loadLanguageModel(folder, { threads })
  const training = parseTrainingConfig(task.defaults ?? {}, 'defaults')
  return { task, model, record: { training, chat: chat ? chatTemplateOf(task, folder) : null } }
}
