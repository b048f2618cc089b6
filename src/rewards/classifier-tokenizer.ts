/** @file A classifier's tokenizer, of any kind that Hugging Face's library reads, and the names of its labels. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Tokenizer } from '@huggingface/tokenizers'
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { readJson } from '../files.ts'

export type ClassifierTokenizer = {
  /** The tokens of a text with those that the template puts around it; of a longer one the first `maxTokens`, its last kept. */
  encode(text: string, maxTokens: number): number[]
  /** The token that fills up rows; it is masked. */
  padding: number
  /** @throws UserError for a name that config.json does not have */
  labelIndex(label: number | string): number
}

const tokenizerSchema = z.looseObject({ model: z.looseObject({}) })
const configSchema = z.looseObject({
  id2label: z.record(z.string(), z.string()).optional(),
  pad_token_id: z.int().nullish(),
})

/** @throws UserError where tokenizer.json is absent or damaged */
export function loadClassifierTokenizer(folder: string): ClassifierTokenizer {
  const path = join(folder, 'tokenizer.json')
  const tokenizer = createTokenizer(readJson(path, tokenizerSchema), path)
  const configPath = join(folder, 'config.json')
  const { id2label = {}, pad_token_id } = existsSync(configPath) ? readJson(configPath, configSchema) : {}
  return {
    padding: pad_token_id ?? 0,
    encode: (text, maxTokens) => {
      const { ids } = tokenizer.encode(text)
      return ids.length <= maxTokens ? ids : [...ids.slice(0, maxTokens - 1), ids[ids.length - 1]]
    },
    labelIndex: (label) => {
      if (typeof label === 'number') return label
      const found = Object.entries(id2label).find(([, name]) => name === label)
      if (found) return Number(found[0])
      const names = Object.values(id2label).join(', ')
      throw new UserError({
        what: `no label "${label}"`,
        where: configPath,
        fix: names ? `choose among ${names}` : 'give the index of the label: the file names none',
      })
    },
  }
}

function createTokenizer(json: object, where: string): Tokenizer {
  try {
    return new Tokenizer(json, {})
  } catch (error) {
    throw new UserError({ what: `not a tokenizer: ${(error as Error).message}`, where, fix: 'get the file again' })
  }
}
