/**
 * @file One file of a repository into the cache: resumed where it was cut, and given its name only when its bytes on the
 * disk have the size and the hash that the hub's list says.
 */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { UserError } from '../../errors.ts'
import { fileProblem, syncFolder } from '../../files.ts'
import { claimPartial, leavePartial, removePartials } from './partial-file.ts'

/** A file as the hub lists it. `hash` is SHA-256 of a large file, and what git calls a small one. */
export type RemoteFile = { name: string; url: string; size: number; hash: string }

export type DownloadOptions = {
  fetch: typeof fetch
  /** Bytes that are here by now. */
  onBytes: (received: number) => void
  signal?: AbortSignal
}

/** Cuts without a byte between them after which it is given up. */
const MAX_CUTS = 5

/**
 * Downloads a file unless it is there.
 * @throws UserError where the server sends another file than the hub lists, or the disk is full; what has arrived is resumed
 * by the next call
 */
export async function download(file: RemoteFile, blob: string, options: DownloadOptions): Promise<void> {
  if (existsSync(blob) && statSync(blob).size === file.size) return options.onBytes(file.size)
  makeFolder(dirname(blob))
  const partial = claimPartial(blob)
  try {
    await receive(file, partial, options)
    const hash = await hashOf(partial, file)
    if (hash !== file.hash) {
      rmSync(partial)
      throw damaged(file, `its hash is ${hash} instead of ${file.hash}`)
    }
    renameSync(partial, blob)
    syncFolder(dirname(blob))
    removePartials(blob)
  } catch (error) {
    leavePartial(partial, blob)
    throw fileProblem(error, blob)
  }
}

/** @throws UserError where the system refuses */
export function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true })
  } catch (error) {
    throw fileProblem(error, folder)
  }
}

/** Appends to a partial file until it has its size. */
async function receive(file: RemoteFile, partial: string, { fetch, onBytes, signal }: DownloadOptions): Promise<void> {
  const handle = await open(partial, 'a+')
  try {
    if ((await handle.stat()).size > file.size) await handle.truncate(0)
    for (let cuts = 0, received = (await handle.stat()).size; ; ) {
      onBytes(received)
      if (received === file.size) break
      await appendRest(file, handle, { fetch, onBytes, signal })
      const now = (await handle.stat()).size
      cuts = now > received ? 0 : cuts + 1
      received = now
      if (cuts === MAX_CUTS) throw cutOff(file, received)
    }
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Asks for what is missing and writes what comes, until the end or until the connection is cut. */
async function appendRest(file: RemoteFile, handle: FileHandle, { fetch, onBytes, signal }: DownloadOptions) {
  let at = (await handle.stat()).size
  const headers: Record<string, string> = { 'accept-encoding': 'identity' } // ranges count bytes of the file itself
  if (at > 0) headers.range = `bytes=${at}-`
  const response = await fetch(file.url, { headers, signal })
  if (at > 0 && response.status !== 206) {
    await handle.truncate(0) // this server sends no parts
    at = 0
  }
  const promised = promisedSize(response)
  if (promised !== undefined && promised !== file.size) {
    await response.body?.cancel()
    throw damaged(file, `the server has ${promised} bytes and the hub lists ${file.size}`)
  }
  const reader = response.body!.getReader()
  while (at < file.size) {
    const { done, value } = await reader.read().catch((error) => (signal?.aborted ? Promise.reject(error) : CUT))
    if (done) return
    await handle.appendFile(value)
    at += value.length
    onBytes(Math.min(at, file.size))
  }
  await reader.cancel()
  if (at > file.size) {
    await handle.truncate(0)
    throw damaged(file, `the server sends more than the ${file.size} bytes that the hub lists`)
  }
}

const CUT = { done: true as const, value: undefined }

/** The size of the whole file as the answer tells it, if it does. */
function promisedSize({ status, headers }: Response): number | undefined {
  const text = status === 206 ? headers.get('content-range')?.split('/')[1] : headers.get('content-length')
  return text !== undefined && text !== null && /^\d+$/.test(text) ? Number(text) : undefined
}

/** SHA-256, or what git calls a file: SHA-1 of its content with its size before it. */
async function hashOf(path: string, { size, hash }: RemoteFile): Promise<string> {
  const digest = hash.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`)
  for await (const chunk of createReadStream(path)) digest.update(chunk)
  return digest.digest('hex')
}

const damaged = ({ name, url }: RemoteFile, what: string) =>
  new UserError({ what: `${name} did not arrive whole: ${what}`, where: new URL(url).host, fix: 'try again later' }, 1)

const cutOff = ({ name, url, size }: RemoteFile, received: number) =>
  new UserError(
    {
      what: `the connection was cut again and again; ${received} of the ${size} bytes of ${name} are here`,
      where: new URL(url).host,
      fix: 'the same command goes on from there',
    },
    1,
  )
