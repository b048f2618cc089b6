/**
 * @file Where a model's parts come from. A folder in Hugging Face form has a file for each, a GGUF file holds them all.
 * Whoever needs a part asks here and does not know the difference.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { UserError } from '../errors.ts'
import { readChatTemplate } from '../tokenizer/chat-template.ts'
import { tokenizerFromGguf } from '../tokenizer/gguf/from-gguf.ts'
import {
  createTokenizer,
  loadTokenizer,
  readTokenizer,
  type Tokenizer,
  type TokenizerSource,
} from '../tokenizer/tokenizer.ts'
import { type GgufFile, openGguf } from '../weights/gguf/gguf-file.ts'
import { hubIdOf } from '../weights/hub/cache.ts'
import { ggufFiles as ggufNames } from '../weights/hub/choose-files.ts'
import { openWeights, type Weights } from '../weights/open-weights.ts'
import { withTurned } from '../weights/turned.ts'
import { describeConfig, turnedInCheckpoint } from './architectures.ts'
import { contentHash, fileHash } from './content-hash.ts'
import { ggufConfig, openGgufWeights } from './gguf/gguf-model.ts'

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
  /** What the tokenizer is made of, to be written elsewhere. @throws UserError as `tokenizer` */
  tokenizerSource: () => TokenizerSource
  /** How the model writes a chat, in Jinja; undefined where it has no such template. */
  chatTemplate: () => string | undefined
  /** The weights under the names of Hugging Face checkpoints, linear layers [outputs, inputs]. Whoever opened them closes them. */
  openWeights: () => Weights
  /** One number for all that decides what the model computes. */
  contentHash: () => string
}

/** The parts of the model at a path. @throws UserError for a folder of several models, and for another kind of file */
export function modelFiles(path: string): ModelFiles {
  if (isGguf(path)) return ggufFiles(path)
  const alone = onlyGguf(path)
  return alone ? ggufFiles(join(path, alone)) : folderFiles(path)
}

const isGguf = (path: string) => path.toLowerCase().endsWith('.gguf')

/** The GGUF file of a folder that holds nothing else to load. */
function onlyGguf(folder: string): string | undefined {
  if (existsSync(join(folder, 'config.json')) || !existsSync(folder)) return undefined
  if (!statSync(folder).isDirectory())
    throw new UserError({ what: 'not a model', where: folder, fix: 'give a model folder or a .gguf file' })
  const files = ggufNames(readdirSync(folder)).sort()
  if (files.length < 2) return files[0]
  throw new UserError({
    what: `several models: ${files.join(', ')}`,
    where: folder,
    fix: 'give the path of one of them',
  })
}

function folderFiles(folder: string): ModelFiles {
  const configPath = join(folder, 'config.json')
  return {
    name: hubIdOf(folder) ?? basename(resolve(folder)),
    path: folder,
    configPath,
    config: () => readConfig(folder, configPath),
    tokenizer: () => loadTokenizer(folder),
    tokenizerSource: () => readTokenizer(folder),
    chatTemplate: () => readChatTemplate(folder),
    openWeights: () => {
      const turned = turnedInCheckpoint(describeConfig(readConfig(folder, configPath), configPath))
      return withTurned(openWeights(folder), turned)
    },
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

function ggufFiles(path: string): ModelFiles {
  const reading = <T>(read: (file: GgufFile) => T): T => {
    const file = openGguf(path)
    try {
      return read(file)
    } finally {
      file.close()
    }
  }
  const tokenizerSource = () => reading(({ metadata }) => tokenizerFromGguf(metadata, path))
  return {
    name: basename(path).replace(/\.gguf$/i, ''),
    path,
    configPath: path,
    config: () => reading(ggufConfig),
    tokenizer: async () => createTokenizer(tokenizerSource()),
    tokenizerSource,
    chatTemplate: () => {
      const template = reading(({ metadata }) => metadata.get('tokenizer.chat_template'))
      return typeof template === 'string' ? template : undefined
    },
    openWeights: () => openGgufWeights(path),
    contentHash: () => fileHash(path),
  }
}
