/** @file What the hub says of a repository. A mirror may answer anything, so an answer is checked before it is used. */
import { type ListFileEntry, listFiles, modelInfo } from '@huggingface/hub'
import { z } from 'zod'
import { UserError } from '../../errors.ts'
import type { RemoteFile } from './download.ts'
import type { HubModel } from './model-id.ts'
import { hubEndpoint, hubFetch } from './requests.ts'

const infoSchema = z.object({ sha: z.string().regex(/^[0-9a-f]{40}$/) })
const entrySchema = z.object({
  path: z.string(),
  size: z.number().int().nonnegative(),
  oid: z.string().regex(/^[0-9a-f]{40}$/),
  lfs: z.object({ oid: z.string().regex(/^[0-9a-f]{64}$/), size: z.number().int().nonnegative() }).optional(),
})

/** The commit of a model's revision. */
export async function currentCommit(model: HubModel): Promise<string> {
  const { id: name, revision } = model
  const asked = { name, revision, hubUrl: hubEndpoint(), fetch: hubFetch(model), additionalFields: ['sha' as const] }
  return understood(infoSchema, await readable(modelInfo(asked))).sha
}

/** The files of a commit by their names, with folders where these are asked for; else those of the first level. */
export async function filesAt(
  model: HubModel,
  commit: string,
  { recursive = false } = {},
): Promise<Map<string, RemoteFile>> {
  const files = new Map<string, RemoteFile>()
  for (const entry of await readable(entriesAt(model, commit, recursive))) {
    if (entry.type !== 'file' || (entry.path.includes('/') && !recursive)) continue
    const { path: name, size, oid, lfs } = understood(entrySchema, entry)
    const path = name.split('/').map(encodeURIComponent).join('/')
    const url = `${hubEndpoint()}/${model.id}/resolve/${commit}/${path}`
    files.set(name, { name, url, size: lfs?.size ?? size, hash: lfs?.oid ?? oid })
  }
  return files
}

async function entriesAt(model: HubModel, revision: string, recursive: boolean): Promise<ListFileEntry[]> {
  const entries: ListFileEntry[] = []
  const repo = { type: 'model' as const, name: model.id }
  const pages = listFiles({ repo, revision, recursive, hubUrl: hubEndpoint(), fetch: hubFetch(model) })
  for await (const entry of pages) entries.push(entry)
  return entries
}

function understood<T>(schema: z.ZodType<T>, answer: unknown): T {
  const parsed = schema.safeParse(answer)
  if (parsed.success) return parsed.data
  const { path, message } = parsed.error.issues[0]
  throw misunderstood(`${path.join('.')}: ${message}`)
}

const misunderstood = (why: string) =>
  new UserError(
    { what: `this is not an answer of a hub: ${why}`, where: hubEndpoint(), fix: 'check the network and HF_ENDPOINT' },
    1,
  )

/** A page that asks for a login, sent by a network instead of the hub, is no JSON. */
async function readable<T>(answer: Promise<T>): Promise<T> {
  return answer.catch((error) => {
    throw error instanceof SyntaxError ? misunderstood(error.message) : error
  })
}
