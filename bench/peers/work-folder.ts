/** @file A folder for half a gigabyte of weights, which goes when the process does. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Here, and not in a temporary folder that may lie in memory. */
export function makeWorkFolder(): string {
  const work = fileURLToPath(new URL('./.work/', import.meta.url))
  mkdirSync(work, { recursive: true })
  const folder = mkdtempSync(work)
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130))
  return folder
}
