/** @file Which tokens begin and end a text: every generation of model folders says it in another file. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { readJson } from '../files.ts'

/** The tokens that begin and end a text; undefined where the model has none. */
export type TextLimits = { bosToken: number | undefined; eosToken: number | undefined }

/** A file says a piece or an id, null for "there is none", or nothing. */
type Saying = string | number | null | undefined

const piece = z
  .union([z.string(), z.looseObject({ content: z.string() }).transform(({ content }) => content)])
  .nullish()
const id = z.int().nullish()
const firstId = z.union([id, z.array(z.int()).transform(([first]): number | undefined => first)])

const named = z
  .looseObject({ bos_token: piece, eos_token: piece })
  .transform((file) => [file.bos_token, file.eos_token])
const gguf = z
  .looseObject({ 'tokenizer.ggml.bos_token_id': id, 'tokenizer.ggml.eos_token_id': id })
  .transform((file) => [file['tokenizer.ggml.bos_token_id'], file['tokenizer.ggml.eos_token_id']])
const numbered = z
  .looseObject({ bos_token_id: id, eos_token_id: firstId }) // of a chat model's several ends, the first is the text's
  .transform((file) => [file.bos_token_id, file.eos_token_id])

/** The files that may say it, the most specific first. */
const SOURCES: [file: string, schema: z.ZodType<Saying[]>][] = [
  ['tokenizer_config.json', named],
  ['special_tokens_map.json', named],
  ['special.json', gguf], // the metadata of a GGUF file
  ['config.json', numbered],
]

/**
 * The tokens that begin and end a text, from the first file of the folder that mentions them.
 * @param idOf  the id of a piece
 * @throws UserError for a file that is not JSON or not of its form
 */
export function readTextLimits(folder: string, idOf: (piece: string) => number | undefined): TextLimits {
  const sayings = SOURCES.filter(([file]) => existsSync(join(folder, file))).map(([file, schema]) =>
    readJson(join(folder, file), schema),
  )
  const [bosToken, eosToken] = [0, 1].map((which) => {
    const said = sayings.map((saying) => saying[which]).find((value) => value !== undefined)
    return typeof said === 'string' ? idOf(said) : (said ?? undefined)
  })
  return { bosToken, eosToken }
}
