/**
 * @file What a checkpoint is: a folder `checkpoints/<step>/` of a run, from which the run goes on as if it had never
 * been stopped. It has that name only while it is whole: what is being written is `<step>.partial`, what is being
 * deleted is `<step>.removed`, and renaming is a single act.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Arrays: the adapter's moments, the replay buffer. */
export const TENSORS_FILE = 'state.safetensors'
/** Everything else that the run must remember. */
export const JSON_FILE = 'state.json'
/** The adapter as a PEFT folder, for any tool to load. */
export const ADAPTER_FOLDER = 'adapter'

/** The folder of a run that holds its checkpoints. */
export const checkpointsFolder = (runFolder: string) => join(runFolder, 'checkpoints')

/** A checkpoint's folder. */
export const checkpointFolder = (runFolder: string, step: number) =>
  join(checkpointsFolder(runFolder), String(step).padStart(6, '0'))

/** Steps of a run's checkpoints, ascending. They were whole when they got their names; loading finds later damage. */
export function listCheckpoints(runFolder: string): number[] {
  const folder = checkpointsFolder(runFolder)
  if (!existsSync(folder)) return []
  const names = readdirSync(folder).filter((name) => /^\d{6,}$/.test(name))
  return names.map(Number).sort((a, b) => a - b)
}
