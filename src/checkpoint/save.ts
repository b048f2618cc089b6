import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { syncFolder, syncTree, writeJson } from '../files.ts'
import type { NamedTensors } from '../runtime/host-tensor.ts'
import { writeSafetensors } from '../weights/safetensors.ts'
import {
  ADAPTER_FOLDER,
  checkpointFolder,
  checkpointsFolder,
  JSON_FILE,
  listCheckpoints,
  TENSORS_FILE,
} from './checkpoint.ts'
import { writeManifest } from './manifest.ts'

/** What a checkpoint holds. `json` is a value that JSON holds exactly; `adapter` writes its files into a folder. */
export type CheckpointState = {
  tensors: NamedTensors
  json: unknown
  adapter: (folder: string) => void | Promise<void>
}

/**
 * Saves a checkpoint, which exists whole or not at all, also after `kill -9` or a power cut at any instant. Checkpoints
 * of later steps are removed: they belong to a future that was given up when the run went on from an earlier one. So
 * are all but the newest `keep` (at least 1).
 * @returns the checkpoint's folder
 */
export async function saveCheckpoint(
  runFolder: string,
  step: number,
  state: CheckpointState,
  { keep }: { keep: number },
): Promise<string> {
  const parent = checkpointsFolder(runFolder)
  const folder = checkpointFolder(runFolder, step)
  mkdirSync(parent, { recursive: true })
  removeLeftovers(parent)
  await writeState(`${folder}.partial`, state)
  removeCheckpointsFrom(runFolder, step)
  renameSync(`${folder}.partial`, folder)
  syncFolder(parent)
  syncFolder(runFolder)
  for (const old of listCheckpoints(runFolder).slice(0, -keep)) retire(runFolder, old)
  removeLeftovers(parent)
  return folder
}

async function writeState(folder: string, { tensors, json, adapter }: CheckpointState): Promise<void> {
  mkdirSync(join(folder, ADAPTER_FOLDER), { recursive: true })
  writeSafetensors(join(folder, TENSORS_FILE), tensors)
  writeJson(join(folder, JSON_FILE), json)
  await adapter(join(folder, ADAPTER_FOLDER))
  await writeManifest(folder)
  syncTree(folder)
}

/** Removes the checkpoints of a step and of later ones. */
export function removeCheckpointsFrom(runFolder: string, step: number): void {
  for (const later of listCheckpoints(runFolder).filter((other) => other >= step)) retire(runFolder, later)
}

/** Takes a checkpoint's name away; a kill in the middle of deleting would leave a damaged one under it. */
function retire(runFolder: string, step: number): void {
  const folder = checkpointFolder(runFolder, step)
  renameSync(folder, `${folder}.removed`)
}

/** Deletes what a kill left half written, and what was retired. */
function removeLeftovers(parent: string): void {
  for (const name of readdirSync(parent).filter((name) => /\.(partial|removed)$/.test(name))) {
    rmSync(join(parent, name), { recursive: true })
  }
}
