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

/** Makes an export's folder with the files that it takes over from the model's. @throws UserError where it is no folder */
export function copySideFiles(model: string, folder: string): void {
  const { path } = modelFiles(model)
  if (!existsSync(join(path, 'config.json')))
    throw new UserError({
      what: 'this form needs the config.json and tokenizer.json of a model folder',
      where: model,
      fix: 'give the model as a folder in Hugging Face form, or export to GGUF',
    })
  mkdirSync(folder, { recursive: true })
  for (const file of SIDE_FILES) if (existsSync(join(path, file))) copyFileSync(join(path, file), join(folder, file))
}
