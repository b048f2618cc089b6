/** @file What a model or adapter folder holds, as one number: a run goes on only with what it began with. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'

const CHUNK_BYTES = 1 << 20

const isModelFile = (file: string) => ['config.json', 'tokenizer.json'].includes(file) || file.endsWith('.safetensors')

/**
 * SHA-256 of the files that decide what is computed, in order of name.
 * @param isOurs which files; default: a model's config, tokenizer and every weights file
 */
export function contentHash(folder: string, isOurs: (file: string) => boolean = isModelFile): string {
  const hash = createHash('sha256')
  const buffer = Buffer.alloc(CHUNK_BYTES)
  for (const file of readdirSync(folder).filter(isOurs).sort()) {
    hash.update(file)
    const descriptor = openSync(join(folder, file), 'r')
    for (let read = 1; read > 0; ) {
      read = readSync(descriptor, buffer)
      hash.update(buffer.subarray(0, read))
    }
    closeSync(descriptor)
  }
  return hash.digest('hex')
}
