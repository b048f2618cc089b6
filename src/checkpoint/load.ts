import { join } from 'node:path'
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { readJson } from '../files.ts'
import type { NamedTensors } from '../runtime/host-tensor.ts'
import { openSafetensors } from '../weights/safetensors.ts'
import {
  ADAPTER_FOLDER,
  checkpointFolder,
  checkpointsFolder,
  JSON_FILE,
  listCheckpoints,
  TENSORS_FILE,
} from './checkpoint.ts'
import { findDamage } from './manifest.ts'

/** A checkpoint in memory, bit for bit as it was saved, and the PEFT folder of its adapter. */
export type Checkpoint = { step: number; tensors: NamedTensors; json: unknown; adapterFolder: string }

/**
 * The checkpoint of a step, or a run's latest one.
 * @throws UserError where there is none, naming those that exist; where it is damaged, naming the damaged file and the
 * latest earlier checkpoint that is whole
 */
export async function loadCheckpoint(runFolder: string, step?: number): Promise<Checkpoint> {
  const steps = listCheckpoints(runFolder)
  const chosen = step ?? steps.at(-1)
  if (chosen === undefined || !steps.includes(chosen)) {
    throw new UserError({
      what: chosen === undefined ? 'there is no checkpoint yet' : `there is no checkpoint of step ${chosen}`,
      where: checkpointsFolder(runFolder),
      fix: steps.length ? `choose one of ${steps.join(', ')}` : 'start the run again',
    })
  }
  const folder = checkpointFolder(runFolder, chosen)
  const damage = await findDamage(folder)
  if (damage) {
    const whole = await latestWhole(runFolder, chosen)
    const fix =
      whole === undefined ? 'start the run again: no earlier one is whole' : `resume with --from-step ${whole}`
    throw new UserError({ what: `the checkpoint is damaged: ${damage}`, where: folder, fix })
  }
  return {
    step: chosen,
    tensors: readTensors(join(folder, TENSORS_FILE)),
    json: readJson(join(folder, JSON_FILE), z.unknown()),
    adapterFolder: join(folder, ADAPTER_FOLDER),
  }
}

/** The step of the latest checkpoint before a step that is not damaged. */
async function latestWhole(runFolder: string, before: number): Promise<number | undefined> {
  for (const step of listCheckpoints(runFolder).reverse()) {
    if (step < before && !(await findDamage(checkpointFolder(runFolder, step)))) return step
  }
  return undefined
}

function readTensors(path: string): NamedTensors {
  const file = openSafetensors(path)
  try {
    return Object.fromEntries([...file.entries.keys()].map((name) => [name, file.readStored(name)]))
  } finally {
    file.close()
  }
}
