/**
 * @file A download that has not ended. Its file lies beside the blob and belongs to one download at a time, so that two
 * processes never write into one file; who stopped, in whatever way, leaves it to the next one.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'

const SUFFIX = '.partial'

/** Nobody waits so long between two pieces of a file: then its owner on another machine is gone. */
const ABANDONED_SECONDS = 600

/** A file of our own for a blob: what somebody left, or the name of a new one. */
export function claimPartial(blob: string): string {
  const mine = `${blob}.${hostname()}~${process.pid}~${randomBytes(4).toString('hex')}${SUFFIX}`
  const largestFirst = abandonedPartials(blob).sort((a, b) => sizeOf(b) - sizeOf(a))
  for (const left of largestFirst) if (renamed(left, mine)) break
  return mine
}

/** Leaves a file to whoever comes next. */
export function leavePartial(mine: string, blob: string): void {
  if (existsSync(mine)) renamed(mine, `${blob}${SUFFIX}`)
}

/** Removes what earlier downloads of a blob have left. */
export const removePartials = (blob: string) =>
  abandonedPartials(blob).forEach((path) => void rmSync(path, { force: true }))

const abandonedPartials = (blob: string): string[] =>
  readdirSync(dirname(blob))
    .filter((name) => name.startsWith(`${basename(blob)}.`) && name.endsWith(SUFFIX))
    .map((name) => join(dirname(blob), name))
    .filter((path) => isAbandoned(path, basename(path).slice(basename(blob).length + 1, -SUFFIX.length)))

function isAbandoned(path: string, owner: string): boolean {
  const [host, pid] = owner.split('~')
  if (pid === undefined) return true // left by `leavePartial`
  if (host === hostname() && !isRunning(Number(pid))) return true
  return Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > ABANDONED_SECONDS * 1000
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' // it runs, and is another user's
  }
}

/** False where another process was quicker. */
function renamed(from: string, to: string): boolean {
  try {
    renameSync(from, to)
    return true
  } catch {
    return false
  }
}

const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0
