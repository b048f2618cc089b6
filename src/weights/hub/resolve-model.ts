/**
 * @file From what a user calls a model to a path: a folder or a GGUF file that is there, or a model of the hub, which is
 * fetched into the cache once and from then on used without asking anybody.
 */
import { existsSync, readdirSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { UserError } from '../../errors.ts'
import { formatBytes, readJson } from '../../files.ts'
import { blobPath, cachedCommit, cacheFolder, linkIntoSnapshot, rememberCommit, snapshotFolder } from './cache.ts'
import { chooseFiles, INDEX_FILE, WEIGHTS_FILE } from './choose-files.ts'
import { download, makeFolder, type RemoteFile } from './download.ts'
import { formatHubModel, type HubModel, isCommit, parseHubModel } from './model-id.ts'
import { currentCommit, filesAt } from './repository.ts'
import { hubFetch, isOffline, OFFLINE_WAYS } from './requests.ts'

export type DownloadProgress = { file: string; received: number; size: number }

export type ResolveOptions = {
  /** Looks at a model's folder when its config and tokenizer are there, and throws before its weights are fetched. */
  check?: (folder: string) => unknown
  onProgress?: (progress: DownloadProgress) => void
  /** Ask the hub for the newest commit of the revision even where one is cached. */
  update?: boolean
  /** False: fetch config and tokenizer only. A GGUF file holds them, and is fetched all the same. */
  weights?: boolean
  signal?: AbortSignal
}

/** Connections that fail or a busy server, within a download, are tried again so often. */
const DOWNLOAD_RETRIES = 4

/**
 * The folder or file of a model: a path that exists, or `owner/name[@revision][:FILE.gguf]` on the hub.
 * @returns a path; a text that is neither is returned as it is, for the reader of paths to refuse
 * @throws UserError where the hub refuses, or cannot be reached and the model is not cached
 */
export async function resolveModel(spec: string, options: ResolveOptions = {}): Promise<string> {
  const model = existsSync(spec) ? undefined : parseHubModel(spec)
  if (model === undefined) return spec
  const cached = cachedModel(model, options)
  const isCurrent = isCommit(model.revision) || !options.update
  if (cached?.isWhole && isCurrent) return cached.path
  try {
    if (isOffline()) throw offline(model, cached !== undefined)
    return await fetchModel(model, options)
  } catch (error) {
    const isRefusal = !(error instanceof UserError) || error.exitCode === 2
    if (cached === undefined || (isRefusal && !isOffline()) || !isCurrent) throw error
    return cached.path
  }
}

export const offline = (model: HubModel, isCached: boolean) =>
  new UserError({
    what: isCached
      ? 'HF_HUB_OFFLINE forbids to ask for a newer commit'
      : 'this model is not in the cache, and HF_HUB_OFFLINE forbids to fetch it',
    where: formatHubModel(model),
    fix: OFFLINE_WAYS,
  })

/**
 * What the cache has of a model, if that can be used. It is whole where the hub can have nothing to add: a model
 * without a tokenizer may have one there, and beside a GGUF file that was not asked for by name may lie others.
 */
function cachedModel(
  model: HubModel,
  { weights = true }: ResolveOptions,
): { path: string; isWhole: boolean } | undefined {
  const commit = cachedCommit(model)
  const folder = snapshotFolder(model, commit ?? '')
  if (commit === undefined || !existsSync(folder)) return undefined
  const names = readdirSync(folder).filter((name) => existsSync(join(folder, name))) // a link's blob may be gone
  try {
    const { gguf, weights: chosen } = chooseFiles(model, weights ? names : [...names, WEIGHTS_FILE])
    if (gguf !== undefined) return { path: join(folder, gguf), isWhole: model.file !== undefined }
    const needed = ['config.json', ...(weights ? weightFiles(folder, chosen) : [])]
    if (!needed.every((name) => names.includes(name))) return undefined
    return { path: folder, isWhole: names.includes('tokenizer.json') }
  } catch {
    return undefined // the hub will tell
  }
}

/** Brings a model into the cache: config and tokenizer, then the weights. Its branch is moved when all is there. */
async function fetchModel(model: HubModel, options: ResolveOptions): Promise<string> {
  const { check, weights = true } = options
  const commit = isCommit(model.revision) ? model.revision : await currentCommit(model)
  const listed = await filesAt(model, commit)
  const choice = chooseFiles(model, [...listed.keys()])
  const folder = snapshotFolder(model, commit)
  await fetchFiles(
    model,
    choice.small.map((name) => listed.get(name)!),
    folder,
    options,
  )
  if (choice.gguf === undefined) await check?.(folder)
  if (weights || choice.gguf !== undefined) {
    const names = weightFiles(folder, choice.weights)
    const missing = names.filter((name) => !listed.has(name))
    if (missing.length > 0)
      throw new UserError({
        what: `${INDEX_FILE} names shards that this repository does not have: ${missing.join(', ')}`,
        where: formatHubModel(model),
        fix: 'choose another revision',
      })
    await fetchFiles(
      model,
      names.map((name) => listed.get(name)!),
      folder,
      options,
    )
  }
  rememberCommit(model, commit)
  return choice.gguf === undefined ? folder : join(folder, choice.gguf)
}

const shardName = z.string().regex(/^[^/\\]+\.safetensors$/, 'a shard must be a .safetensors file beside the index')
const indexSchema = z.object({ weight_map: z.record(z.string(), shardName) })

/** @throws UserError for an index that is none, or that names files elsewhere */
const weightFiles = (folder: string, weights: { file: string } | { index: string }): string[] =>
  'file' in weights
    ? [weights.file]
    : [...new Set(Object.values(readJson(join(folder, weights.index), indexSchema).weight_map))].sort()

/** Brings files into the cache and gives them their names in a snapshot. @throws UserError where a disk has no room for them */
export async function fetchFiles(
  model: HubModel,
  files: readonly RemoteFile[],
  folder: string,
  { onProgress, signal }: Pick<ResolveOptions, 'onProgress' | 'signal'>,
): Promise<void> {
  const wanted = files.filter(({ hash }) => !existsSync(blobPath(model, hash)))
  refuseTooLarge(model, wanted)
  const fetch = hubFetch(model, { retries: DOWNLOAD_RETRIES })
  for (const file of files) {
    const blob = blobPath(model, file.hash)
    const onBytes = (received: number) => onProgress?.({ file: file.name, received, size: file.size })
    await download(file, blob, { fetch, signal, onBytes: wanted.includes(file) ? onBytes : () => {} })
    linkIntoSnapshot(blob, folder, file.name)
  }
}

/** @throws UserError where a disk has no room for the files */
function refuseTooLarge(model: HubModel, files: readonly RemoteFile[]): void {
  const folder = cacheFolder()
  makeFolder(folder)
  const { bavail, bsize } = statfsSync(folder)
  const bytes = files.reduce((sum, { size }) => sum + size, 0)
  if (bytes <= bavail * bsize) return
  throw new UserError({
    what: `${formatHubModel(model)} takes ${formatBytes(bytes)}, and ${formatBytes(bavail * bsize)} are free`,
    where: folder,
    fix: 'free some space, or choose another folder with HF_HUB_CACHE',
  })
}
