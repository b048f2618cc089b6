/**
 * @file Files that a user may have damaged and a kill may interrupt: JSON is read by a schema and refused by name;
 * what is written is there as a whole or not at all, also after a power cut.
 */
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { z } from 'zod'
import { type Complaint, UserError } from './errors.ts'

const MAX_NAMES_SHOWN = 12 // a message that lists a whole dataset folder helps nobody

/** What a JSON file holds. @throws UserError naming the file where it is absent, no JSON or not of the schema's form */
export function readJson<T>(path: string, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(parseJson(readText(path), path))
  if (parsed.success) return parsed.data
  const { path: key, message } = parsed.error.issues[0]
  throw new UserError({ what: `${key.join('.') || 'the file'}: ${message}`, where: path, fix: 'get the file again' })
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new UserError({ what: `not JSON: ${(error as Error).message}`, where: path, fix: 'get the file again' })
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw fileProblem(error, path)
  }
}

/** What the system said about a file, as a complaint to the user; an error that is not the system's stays as it is. */
export function fileProblem(error: unknown, path: string): unknown {
  const { code, errno, message } = error as NodeJS.ErrnoException
  if (errno === undefined) return error
  const folder = dirname(path)
  const complaints: Record<string, Omit<Complaint, 'where'>> = {
    ENOENT: { what: 'no such file', fix: `${folder} holds ${contentsOf(folder)}` },
    ENOSPC: { what: 'the disk is full', fix: 'free some space and go on' },
  }
  const { what, fix } = complaints[code ?? ''] ?? { what: message, fix: 'check the path and its permissions' }
  return new UserError({ what, where: path, fix }, code === 'ENOENT' ? 2 : 1)
}

/** The names in a folder, as a message shows them. */
export function contentsOf(folder: string): string {
  try {
    const names = readdirSync(folder).sort()
    const rest = names.length - MAX_NAMES_SHOWN
    return names.length ? names.slice(0, MAX_NAMES_SHOWN).join(', ') + (rest > 0 ? ` and ${rest} more` : '') : 'nothing'
  } catch {
    return 'nothing: there is no such folder'
  }
}

const BYTE_UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB']

/** "2.6 GB": powers of a thousand, as disks and the hub count. */
export function formatBytes(bytes: number): string {
  const power = bytes < 1000 ? 0 : Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log10(bytes) / 3))
  const value = bytes / 1000 ** power
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${BYTE_UNITS[power]}`
}

/**
 * Writes a file aside, syncs it and renames it: whoever opens the path meets the old file or the whole new one.
 * @throws UserError where the system refuses
 */
export function writeWhole(path: string, parts: Iterable<string | Uint8Array>): void {
  const aside = `${path}.partial-${process.pid}`
  try {
    const file = openSync(aside, 'w')
    try {
      for (const part of parts) writeFully(file, typeof part === 'string' ? Buffer.from(part) : part)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(aside, path)
    syncFolder(dirname(path))
  } catch (error) {
    rmSync(aside, { force: true })
    throw fileProblem(error, path)
  }
}

function writeFully(file: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written)
}

/** Writes a value as JSON, indented for readers, as `writeWhole` does. @throws Error where JSON cannot hold it */
export function writeJson(path: string, value: unknown): void {
  const text = JSON.stringify(
    value,
    (key, item) => {
      // JSON turns these into null without a word, and −∞ is an ordinary log-reward
      if (typeof item === 'number' && !Number.isFinite(item)) {
        throw new Error(`${basename(path)}: ${key} is ${item}, which JSON cannot hold`)
      }
      return item
    },
    2,
  )
  writeWhole(path, [text, '\n'])
}

/** Makes the names in a folder durable: a rename is safe from a power cut only after this. */
export function syncFolder(folder: string): void {
  if (process.platform !== 'win32') sync(folder, 'r') // Windows opens no folders, and writes their entries itself
}

/** Makes all files and names in a folder durable, also in folders within it. */
export function syncTree(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) syncTree(path)
    else sync(path, 'r+')
  }
  syncFolder(folder)
}

function sync(path: string, flags: 'r' | 'r+'): void {
  const file = openSync(path, flags)
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
