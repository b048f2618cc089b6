import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { UserError } from '../errors.ts'
import { fileProblem, syncFolder, syncTree } from '../files.ts'

/**
 * Makes a file or folder that has its name only once it is finished: it is made aside, and removed where that fails.
 * @param make  what writes and verifies it at the path that it is given
 * @throws UserError where something is at the path already, before any work
 */
export async function placed<Result>(path: string, make: (aside: string) => Promise<Result>): Promise<Result> {
  if (existsSync(path))
    throw new UserError({ what: 'there is something already', where: path, fix: 'choose another name' })
  const aside = `${resolve(path)}.partial-${process.pid}`
  try {
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
