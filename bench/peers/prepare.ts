/** @file What all contestants read: a model with random weights, its adapter, and one step. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { LoraConfig } from '../../src/adapters/lora.ts'
import { writePeftFolder } from '../../src/adapters/peft.ts'
import { writeJson } from '../../src/files.ts'
import type { ModelDescription } from '../../src/models/architecture.ts'
import { describeSize, randomAdapter, type SizeName, writeRandomModel } from '../sizes.ts'
import { type Step, stepOf, type WorkloadName, workloads } from './workloads.ts'

/** Writes a model and an adapter into a folder, as transformers and PEFT load them. */
export function writePolicy(folder: string, size: SizeName): { model: ModelDescription; lora: LoraConfig } {
  const model = describeSize(size)
  const adapter = randomAdapter(model)
  mkdirSync(folder, { recursive: true })
  writeRandomModel(join(folder, 'model'), size, model)
  writePeftFolder(join(folder, 'adapter'), adapter, { baseModel: size, layers: model.linears })
  return { model, lora: adapter.config }
}

/** Writes the step that is taken next. */
export function writeStep(
  folder: string,
  workload: WorkloadName,
  { dimensions }: ModelDescription,
  address: { seed: number; number: number },
): Step {
  const step = stepOf(workloads[workload], dimensions.vocabulary, address)
  writeJson(join(folder, 'step.json'), step)
  return step
}
