/** @file What a model's files hold, as one number: a run goes on only with the model that it began with. */
import { createHash, type Hash } from 'node:crypto'
import { closeSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'

const CHUNK_BYTES = 1 << 20

/** SHA-256 of the files that decide what a model computes: config, tokenizer and every weights file, in order of name. */
export function contentHash(folder: string): string {
  const hash = createHash('sha256')
  const isOurs = (file: string) => ['config.json', 'tokenizer.json'].includes(file) || file.endsWith('.safetensors')
  for (const file of readdirSync(folder).filter(isOurs).sort()) {
    hash.update(file)
    updateWithFile(hash, join(folder, file))
  }
  return hash.digest('hex')
}

/** SHA-256 of a file. */
export function fileHash(path: string): string {
  const hash = createHash('sha256')
  updateWithFile(hash, path)
  return hash.digest('hex')
}

function updateWithFile(hash: Hash, path: string): void {
  const buffer = Buffer.alloc(CHUNK_BYTES)
  const descriptor = openSync(path, 'r')
  try {
    for (let read = 1; read > 0; ) {
      read = readSync(descriptor, buffer)
      hash.update(buffer.subarray(0, read))
    }
  } finally {
    closeSync(descriptor)
  }
}
