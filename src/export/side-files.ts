import { copyFileSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '../errors.ts'
import { modelFiles } from '../models/model-files.ts'

/** What stands beside the weights of a checkpoint and is the same for every form of them. */
const SIDE_FILES = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
  'chat_template.jinja',
  'chat_template.json',
]

/** @throws UserError where a model is no folder, whose files this form of export takes over */
export function requireFolder(model: string): void {
  if (existsSync(join(modelFiles(model).path, 'config.json'))) return
  throw new UserError({
    what: 'this form takes over the files of a model folder',
    where: model,
    fix: 'give the model as a folder in Hugging Face form',
  })
}

/** Makes an export's folder with the files that it takes over from the model's. */
export function copySideFiles(model: string, folder: string): void {
  const { path } = modelFiles(model)
  mkdirSync(folder, { recursive: true })
  for (const file of SIDE_FILES) if (existsSync(join(path, file))) copyFileSync(join(path, file), join(folder, file))
}
