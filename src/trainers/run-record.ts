/**
 * @file What a run was asked to do, with everything resolved: its config.json. From it the run can be started over, and
 * by its hashes a model or a data file that has changed since is told apart.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { z } from 'zod'
import { recomputations } from '../models/architecture.ts'
import { devices } from '../runtime/providers.ts'
import { storages } from '../tensor/ops/stored.ts'
import { trainingSchema } from './config.ts'
import { readBytes } from './text-file.ts'

const hashedFile = z.strictObject({ file: z.string(), sha256: z.string() })

export const runRecordSchema = z.strictObject({
  command: z.string().describe('as it was typed'),
  task: z.string().describe('its name, or the file of a task of the user'),
  taskFile: hashedFile.nullable().default(null).describe('null: the task is one of ours'),
  chat: z.string().nullable().default(null).describe('the chat template that prompts are written in; null: plain text'),
  model: z.strictObject({ folder: z.string(), sha256: z.string() }),
  adapter: z
    .strictObject({ folder: z.string(), sha256: z.string() })
    .nullable()
    .default(null)
    .describe('the PEFT folder that training starts from; null: a fresh adapter'),
  data: hashedFile.nullable().describe('null: the rows that the task brings along'),
  testData: hashedFile.nullable().describe('null: a part of the data is held out'),
  columns: z.record(z.string(), z.array(z.string())).describe("the data's names for the task's columns"),
  demonstrations: z
    .array(z.record(z.string(), z.string()))
    .default([])
    .describe('training examples that others are shown with, where the task shows some'),
  device: z.enum(devices).default('cpu'),
  holding: z
    .strictObject({ storage: z.enum(storages), recompute: z.enum(recomputations) })
    .default({ storage: 'float32', recompute: 'nothing' })
    .describe('how the model is held in memory: bits of its matrices, and what the learn step computes twice'),
  threads: z.number().int().positive(),
  training: trainingSchema,
  versions: z.strictObject({ flowtune: z.string(), node: z.string() }),
})

export type RunRecord = z.output<typeof runRecordSchema>
export type HashedFile = z.output<typeof hashedFile>

const packageFile = new URL('../../package.json', import.meta.url)

/** The version of this package. */
export const version: string = JSON.parse(readFileSync(packageFile, 'utf8')).version

/** A data file by its whole path and what is in it. @throws UserError where it cannot be read */
export async function hashedFileOf(path: string): Promise<HashedFile> {
  const sha256 = createHash('sha256').update(await readBytes(path))
  return { file: resolve(path), sha256: sha256.digest('hex') }
}
