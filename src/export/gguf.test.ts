import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { heldOutOf, policyOf } from '../../test/exports.ts'
import { exportPolicy } from './export-policy.ts'
import { ggufExporter, ggufTypes } from './gguf.ts'

const embedded = new URL('../../models/stories260K', import.meta.url).pathname
let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'gguf-'))
})
afterEach(() => rmSync(home, { recursive: true }))

test.each(ggufTypes)('a policy as %s reads back as itself', async (type) => {
  const policy = policyOf(embedded)
  const { texts } = await heldOutOf(policy)
  const path = join(home, 'stories.gguf')
  const { difference, tensors } = await exportPolicy(policy, ggufExporter({ type }), { path, texts, threads: 1 })
  expect(existsSync(path)).toBe(true)
  expect(tensors).toBe(Object.keys(policy.description.weights).length)
  expect(difference).toBeGreaterThan(0) // the types do round
})

test('an export that is not the policy is refused by the tensor and leaves nothing', async () => {
  const policy = policyOf(embedded)
  const { texts } = await heldOutOf(policy)
  const path = join(home, 'stories.gguf')
  const honest = ggufExporter({ type: 'f16' })
  const other = {
    ...honest,
    write: (_: unknown, target: string) => honest.write({ ...policy, adapter: undefined }, target),
  }
  await expect(exportPolicy(policy, other, { path, texts, threads: 1 })).rejects.toThrow(
    /tensor model\.layers\..* is not the policy's/,
  )
  expect(existsSync(path)).toBe(false)
})

test('a name that llama.cpp would not take is refused before any work', async () => {
  const policy = policyOf(embedded)
  const work = exportPolicy(policy, ggufExporter({ type: 'f16' }), { path: join(home, 'stories'), texts: [] })
  await expect(work).rejects.toThrow('not the name of a GGUF file')
})
