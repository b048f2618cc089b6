/** @file From what a user calls a sentence encoder to its folder, as `resolve-model.ts` does for models; the files are others. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '../../errors.ts'
import { cachedCommit, rememberCommit, snapshotFolder } from './cache.ts'
import { formatHubModel, isCommit, parseHubModel } from './model-id.ts'
import { currentCommit, filesAt } from './repository.ts'
import { isOffline } from './requests.ts'
import { type DownloadProgress, fetchFiles, offline } from './resolve-model.ts'

/** The ONNX file of an encoder: the quantized one, or else the full one. */
export const ENCODER_FILES = ['onnx/model_quantized.onnx', 'onnx/model.onnx', 'model.onnx']
/** How its tokens make a sentence, where the folder says. */
export const POOLING_FILES = ['1_Pooling/config.json', '1_Pooling_config.json']
const SMALL_FILES = ['config.json', 'tokenizer.json', ...POOLING_FILES]

/**
 * The folder of an encoder: a path that exists, or `owner/name[@revision]` on the hub, fetched once into the shared cache.
 * @returns a path; a text that is neither is returned as it is, for the reader of paths to refuse
 * @throws UserError where the hub refuses or has no such encoder, or cannot be reached and there is none in the cache
 */
export async function resolveEncoder(
  spec: string,
  options: { onProgress?: (progress: DownloadProgress) => void; signal?: AbortSignal } = {},
): Promise<string> {
  const model = existsSync(spec) ? undefined : parseHubModel(spec)
  if (model === undefined) return spec
  const cached = cachedCommit(model)
  const has = (folder: string) =>
    existsSync(join(folder, 'tokenizer.json')) && ENCODER_FILES.some((name) => existsSync(join(folder, name)))
  if (cached !== undefined && has(snapshotFolder(model, cached))) return snapshotFolder(model, cached)
  if (isOffline()) throw offline(model, false)

  const commit = isCommit(model.revision) ? model.revision : await currentCommit(model)
  const listed = await filesAt(model, commit, { recursive: true })
  const weights = ENCODER_FILES.find((name) => listed.has(name))
  if (weights === undefined)
    throw new UserError({
      what: `no sentence encoder: it has no ${ENCODER_FILES.join(' or ')}`,
      where: formatHubModel(model),
      fix: 'choose a sentence-transformers model in ONNX form, such as Xenova/all-MiniLM-L6-v2',
    })
  const folder = snapshotFolder(model, commit)
  const wanted = [...SMALL_FILES, weights].flatMap((name) => listed.get(name) ?? [])
  await fetchFiles(model, wanted, folder, options)
  rememberCommit(model, commit)
  return folder
}
