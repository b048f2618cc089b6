/**
 * @file Where a model's parts come from. A folder in Hugging Face form has a file for each; other containers hold them all
 * in one. Whoever needs a part asks here and does not know the difference.
 */
import { readFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { UserError } from '../errors.ts'
import { readChatTemplate } from '../tokenizer/chat-template.ts'
import { loadTokenizer, type Tokenizer } from '../tokenizer/tokenizer.ts'
import { hubIdOf } from '../weights/hub/cache.ts'
import { openWeights, type Weights } from '../weights/open-weights.ts'
import { contentHash } from './content-hash.ts'

export type ModelFiles = {
  /** What a run or a table calls the model. */
  name: string
  /** The folder or the file that holds the parts. */
  path: string
  /** Where the config comes from, for messages. */
  configPath: string
  /** What config.json says, or the same said by another container. @throws UserError where it cannot be read */
  config: () => unknown
  /** @throws UserError where there is none, or it is of an unknown kind */
  tokenizer: () => Promise<Tokenizer>
  /** How the model writes a chat, in Jinja; undefined where it has no such template. */
  chatTemplate: () => string | undefined
  /** The weights under the names of Hugging Face checkpoints. Whoever opened them closes them. */
  openWeights: () => Weights
  /** One number for all that decides what the model computes. */
  contentHash: () => string
}

/** The parts of the model at a path. */
export const modelFiles = (path: string): ModelFiles => folderFiles(path)

function folderFiles(folder: string): ModelFiles {
  const configPath = join(folder, 'config.json')
  return {
    name: hubIdOf(folder) ?? basename(resolve(folder)),
    path: folder,
    configPath,
    config: () => readConfig(folder, configPath),
    tokenizer: () => loadTokenizer(folder),
    chatTemplate: () => readChatTemplate(folder),
    openWeights: () => openWeights(folder),
    contentHash: () => contentHash(folder),
  }
}

function readConfig(folder: string, path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new UserError({
      what: missing ? 'no model here: there is no config.json' : `cannot be read: ${(error as Error).message}`,
      where: missing ? folder : path,
      fix: 'give a model folder with config.json, tokenizer.json and model.safetensors',
    })
  }
}
