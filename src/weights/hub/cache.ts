/**
 * @file The cache that all tools of Hugging Face share. A model's folder holds `blobs/` by their hashes, `snapshots/<commit>/` with
 * the names of one commit's files as links to blobs, and `refs/<branch>` with the commit that a branch was last seen at.
 */
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { getHFHubCachePath, getRepoFolderName } from '@huggingface/hub'
import { fileProblem, writeWhole } from '../../files.ts'
import { type HubModel, isCommit } from './model-id.ts'

/** Where models are cached: HF_HUB_CACHE, or below HF_HOME, or below the user's cache folder. */
export const cacheFolder = (): string => getHFHubCachePath()

const modelFolder = ({ id }: Pick<HubModel, 'id'>) =>
  join(cacheFolder(), getRepoFolderName({ type: 'model', name: id }))

export const blobPath = (model: HubModel, hash: string) => join(modelFolder(model), 'blobs', hash)
export const snapshotFolder = (model: HubModel, commit: string) => join(modelFolder(model), 'snapshots', commit)

/** The commit of a revision as far as the cache knows; undefined where it has never been fetched. */
export function cachedCommit(model: HubModel): string | undefined {
  if (isCommit(model.revision)) return model.revision
  const path = join(modelFolder(model), 'refs', model.revision)
  const commit = existsSync(path) ? readFileSync(path, 'utf8').trim() : ''
  return isCommit(commit) ? commit : undefined
}

/** Remembers the commit of a branch or a tag. */
export function rememberCommit(model: HubModel, commit: string): void {
  if (model.revision === commit) return
  const path = join(modelFolder(model), 'refs', model.revision)
  mkdirSync(dirname(path), { recursive: true })
  writeWhole(path, [commit])
}

/** Gives a blob its name in a snapshot, which may lead into a folder of it. Whoever looks meets the old file, or the new one. */
export function linkIntoSnapshot(blob: string, snapshot: string, name: string): void {
  const path = join(snapshot, name)
  try {
    mkdirSync(dirname(path), { recursive: true })
    rmSync(path, { force: true })
    try {
      symlinkSync(relative(dirname(path), blob), path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return // another process was quicker
      linkSync(blob, path) // Windows allows symbolic links to few users only
    }
  } catch (error) {
    throw fileProblem(error, path)
  }
}

/** owner/name of a snapshot's folder or of a file in it; undefined for a path elsewhere. */
export function hubIdOf(path: string): string | undefined {
  const parts = resolve(path).split(sep)
  const at = parts.lastIndexOf('snapshots')
  const [kind, ...names] = parts[at - 1]?.split('--') ?? []
  return at > 0 && kind === 'models' && isCommit(parts[at + 1] ?? '') ? names.join('/') : undefined
}

/** A commit of a model in the cache; what it holds may be less than the hub has. */
export type Snapshot = {
  id: string
  commit: string
  /** The branches and tags that were last seen at this commit. */
  revisions: string[]
  folder: string
  /** The names of its files, and the bytes that they take. */
  files: string[]
  bytes: number
}

/** Every commit of every model in the cache. Links whose blobs are gone are no files. */
export function cachedSnapshots(): Snapshot[] {
  return namesIn(cacheFolder())
    .filter((name) => name.startsWith('models--'))
    .flatMap((name) => {
      const model = join(cacheFolder(), name)
      const revisions = refsIn(join(model, 'refs'))
      return namesIn(join(model, 'snapshots'))
        .filter(isCommit)
        .map((commit) => snapshotAt(join(model, 'snapshots', commit), commit, revisions))
    })
}

function snapshotAt(folder: string, commit: string, revisions: [name: string, commit: string][]): Snapshot {
  const files = namesIn(folder).filter(
    (name) => existsSync(join(folder, name)) && statSync(join(folder, name)).isFile(),
  )
  return {
    id: hubIdOf(folder)!,
    commit,
    revisions: revisions.filter(([, at]) => at === commit).map(([name]) => name),
    folder,
    files,
    bytes: files.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0),
  }
}

function refsIn(folder: string): [name: string, commit: string][] {
  const names = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [] // a branch may be a/b
  return names
    .filter((name) => statSync(join(folder, name)).isFile())
    .map((name) => [name.split(sep).join('/'), readFileSync(join(folder, name), 'utf8').trim()])
}

/** Bytes of all models in the cache; what two commits share counts once. */
export const cacheBytes = (): number =>
  namesIn(cacheFolder())
    .map((name) => join(cacheFolder(), name, 'blobs'))
    .flatMap((blobs) => namesIn(blobs).map((name) => statSync(join(blobs, name), { throwIfNoEntry: false })?.size ?? 0))
    .reduce((sum, bytes) => sum + bytes, 0)

const namesIn = (folder: string) => (existsSync(folder) ? readdirSync(folder).sort() : [])
