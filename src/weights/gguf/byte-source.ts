import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { UserError } from '../../errors.ts'
import { fileProblem } from '../../files.ts'

/** Bytes that are read by place, never beyond their end: a file, or a part of memory that stands for one. */
export type ByteSource = {
  /** What messages call it. */
  path: string
  size: number
  /** Fills `into` from a position. */
  read(into: Uint8Array, position: number): void
}

/** A file as a source. Whoever opened it closes it. @throws UserError where there is no such file */
export function openByteSource(path: string): ByteSource & { close(): void } {
  const file = openFile(path)
  const stat = fstatSync(file)
  if (!stat.isFile()) {
    closeSync(file)
    throw new UserError({ what: 'not a file', where: path, fix: 'give the path of a .gguf file' })
  }
  let open = true
  return {
    path,
    size: stat.size,
    read(into, position) {
      if (!open) throw new Error(`${path} is read after it was closed`) // the number may be another file's now
      for (let done = 0; done < into.length; ) {
        const count = readSync(file, into, done, into.length - done, position + done)
        if (count === 0) throw new UserError({ what: 'the file became shorter while it was read', where: path }, 1)
        done += count
      }
    },
    close() {
      if (open) closeSync(file)
      open = false
    },
  }
}

function openFile(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (error) {
    throw fileProblem(error, path)
  }
}
