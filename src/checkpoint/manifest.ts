/** @file The list of a checkpoint's files with their sizes and hashes, by which damage is found and named. */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readdirSync, statSync } from 'node:fs'
import { join, sep } from 'node:path'
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { readJson, writeJson } from '../files.ts'

const MANIFEST_FILE = 'manifest.json'

const fileSchema = z.strictObject({ bytes: z.int().nonnegative(), sha256: z.string() })
const manifestSchema = z.strictObject({ files: z.record(z.string(), fileSchema) })

/** Lists all files of a folder, also in folders within it, in its manifest. */
export async function writeManifest(folder: string): Promise<void> {
  const files: z.infer<typeof manifestSchema>['files'] = {}
  for (const name of filesIn(folder)) {
    const path = join(folder, name)
    files[name.replaceAll(sep, '/')] = { bytes: statSync(path).size, sha256: await sha256(path) }
  }
  writeJson(join(folder, MANIFEST_FILE), { files })
}

/** Files of a folder, also in folders within it, by their paths from there. */
const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(folder, name)).isFile())
    .sort()

/** What is wrong with a folder that has a manifest, naming the first damaged file; undefined where all is well. */
export async function findDamage(folder: string): Promise<string | undefined> {
  const expected = readManifest(folder)
  if (typeof expected === 'string') return expected
  for (const [name, { bytes, sha256: hash }] of Object.entries(expected.files)) {
    const path = join(folder, name)
    if (!existsSync(path)) return `${name} is missing`
    const size = statSync(path).size
    if (size !== bytes) return `${name} has ${size.toLocaleString('en')} bytes instead of ${bytes.toLocaleString('en')}`
    if ((await sha256(path)) !== hash) return `${name} does not hold what was written`
  }
  return undefined
}

function readManifest(folder: string): z.infer<typeof manifestSchema> | string {
  try {
    return readJson(join(folder, MANIFEST_FILE), manifestSchema)
  } catch (error) {
    if (error instanceof UserError) return `${MANIFEST_FILE}: ${error.complaint.what}`
    throw error
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}
