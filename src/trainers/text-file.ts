/** @file The text of a user's file: UTF-8, plain or gzipped. What cannot be read is refused by name. */
import { isUtf8 } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { UserError } from '../errors.ts'

const MAX_TEXT_BYTES = 500_000_000 // a JavaScript string holds little more; also stops a gzip file that swells without end

/** The text of a file, without its byte order mark. @throws UserError where it cannot be read, unpacked or decoded */
export async function readText(path: string): Promise<string> {
  const stored = await readBytes(path)
  const bytes = path.endsWith('.gz') ? await unpack(stored, path) : stored
  if (bytes.length > MAX_TEXT_BYTES) throw tooLarge(path)
  if (!isUtf8(bytes)) throw notUtf8(path, bytes)
  return new TextDecoder().decode(bytes) // drops the mark
}

/** A file as it is stored. @throws UserError where it cannot be read */
export const readBytes = (path: string): Promise<Buffer> =>
  readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw unreadable(path, error)
  })

function unreadable(path: string, error: NodeJS.ErrnoException): Error {
  switch (error.code) {
    case 'ENOENT':
      return new UserError({ what: 'there is no such file', where: path })
    case 'EISDIR':
      return new UserError({ what: 'this is a folder', where: path, fix: 'name a file in it' })
    case 'EACCES':
      return new UserError({ what: 'reading this file is not permitted', where: path })
    case 'ERR_FS_FILE_TOO_LARGE':
      return tooLarge(path)
    default:
      return error
  }
}

async function unpack(stored: Buffer, path: string): Promise<Buffer> {
  try {
    return await promisify(gunzip)(stored, { maxOutputLength: MAX_TEXT_BYTES })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(path)
    throw new UserError({ what: 'this is no gzip file, or it is damaged or cut off', where: path })
  }
}

const tooLarge = (path: string) =>
  new UserError({
    what: `more than ${MAX_TEXT_BYTES / 1e6} MB of text`,
    where: path,
    fix: 'split it into several files',
  })

function notUtf8(path: string, bytes: Buffer): UserError {
  if (bytes.length > 1 && [0xfffe, 0xfeff].includes(bytes.readUInt16BE(0)))
    return new UserError({ what: 'this is UTF-16, not UTF-8', where: path, fix: 'save it as UTF-8' })
  return new UserError({
    what: 'not UTF-8, or not text',
    where: `${path}, line ${firstBadLine(bytes)}`,
    fix: 'save it as UTF-8',
  })
}

/** Counted from 1. A line end is no part of any other character in UTF-8, so that lines can be judged one by one. */
function firstBadLine(bytes: Buffer): number {
  let start = 0
  for (let line = 1; ; line++) {
    const end = bytes.indexOf('\n', start)
    if (end === -1 || !isUtf8(bytes.subarray(start, end))) return line
    start = end + 1
  }
}
