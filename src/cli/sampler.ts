/** @file The model that a command's RUN, or its --model and --adapter, name. */
import type { LoraAdapter } from '../adapters/lora.ts'
import { UserError } from '../errors.ts'
import { type LanguageModel, type LoadOptions, loadLanguageModel } from '../models/language-model.ts'
import { loadAdapter } from '../models/load-adapter.ts'
import { taskNamed } from '../tasks/index.ts'
import type { Task } from '../tasks/task.ts'
import { latestAdapter, openRun } from '../tasks/task-run.ts'
import { parseTrainingConfig, type TrainingConfig } from '../trainers/config.ts'

export type SamplerOptions = LoadOptions & { model?: string; adapter?: string }

export type Sampler = { task: Task; model: LanguageModel; adapter?: LoraAdapter; training: TrainingConfig }

/** Opens what the user names, uses it and lets go of it. A model without a run samples infillings of the default limits. */
export async function withSampler(
  folder: string | undefined,
  { model: modelName, adapter, ...load }: SamplerOptions,
  use: (sampler: Sampler) => Promise<void>,
): Promise<void> {
  if (folder === undefined && modelName === undefined)
    throw new UserError({ what: 'there is no model to use', fix: 'name a run, or a model with --model' })
  const run = folder === undefined ? undefined : await openRun(folder, { model: modelName, ...load })
  const model = run?.model ?? (await loadLanguageModel(modelName!, load))
  try {
    await use({
      task: run?.task ?? taskNamed('infilling'),
      model,
      training: run?.record.training ?? parseTrainingConfig({}, 'defaults'),
      adapter: adapter !== undefined ? loadAdapter(adapter, model.description) : run && latestAdapter(run),
    })
  } finally {
    await model.dispose()
  }
}
