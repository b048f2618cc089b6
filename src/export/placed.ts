import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { UserError } from '../errors.ts'
import { fileProblem, syncFolder, syncTree } from '../files.ts'

/**
 * Makes a file or folder that has its name only once it is finished: it is made aside, and removed where that fails.
 * @param make  what writes and verifies it at the path that it is given
 * @throws UserError where something is at the path already, before any work
 */
export async function placed<Result>(path: string, make: (aside: string) => Promise<Result>): Promise<Result> {
  refuseTaken(path)
  const aside = `${resolve(path)}.partial-${process.pid}`
  try {
    removeLeftovers(path)
    mkdirSync(aside, { recursive: true })
    const made = join(aside, basename(resolve(path)))
    const result = await make(made)
    syncTree(aside)
    renameSync(made, path)
    syncFolder(dirname(resolve(path)))
    return result
  } catch (error) {
    throw fileProblem(error, path)
  } finally {
    rmSync(aside, { recursive: true, force: true })
  }
}

/** @throws UserError where there is something at the path of what shall be made */
export function refuseTaken(path: string): void {
  if (!existsSync(path)) return
  throw new UserError({ what: 'there is something already', where: path, fix: 'choose another name' })
}

/** What a process left that was killed while it made the same. */
function removeLeftovers(path: string): void {
  const [parent, name] = [dirname(resolve(path)), basename(resolve(path))]
  const ofProcess = (entry: string) =>
    entry.startsWith(`${name}.partial-`) && Number(entry.slice(`${name}.partial-`.length))
  for (const entry of existsSync(parent) ? readdirSync(parent) : []) {
    const id = ofProcess(entry)
    if (id && !isAlive(id)) rmSync(join(parent, entry), { recursive: true, force: true })
  }
}

function isAlive(id: number): boolean {
  try {
    return process.kill(id, 0) // sends nothing
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
