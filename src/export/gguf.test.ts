import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { checkpoints, heldOutOf, plainCheckpoints, policyOf } from '../../test/exports.ts'
import { UserError } from '../errors.ts'
import { modelFiles } from '../models/model-files.ts'
import { openGguf } from '../weights/gguf/gguf-file.ts'
import { type Exporter, exportPolicy } from './export-policy.ts'
import { ggufExporter, ggufTypes } from './gguf.ts'
import { mergedExporter } from './merged.ts'
import { precisions } from './precision.ts'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'gguf-export-'))
})
afterEach(() => rmSync(home, { recursive: true }))
const path = () => join(home, 'merged.gguf')

async function exported(folder: string, exporter: Exporter) {
  const policy = policyOf(folder)
  const { texts } = await heldOutOf(policy)
  return exportPolicy(policy, exporter, { path: path(), texts, threads: 1 })
}

/** Why a model cannot leave so; undefined where it can. */
const refusalOf = (folder: string) =>
  ggufExporter({ type: 'f16' })
    .check(policyOf(folder), path())
    .then(
      () => undefined,
      (error: unknown) => error,
    )

it.each(Object.entries(checkpoints))(
  '%s, merged, is the policy as far as F16 holds it, or is refused',
  async (_, folder) => {
    const refusal = await refusalOf(folder)
    if (refusal) expect(refusal).toBeInstanceOf(UserError)
    else
      expect((await exported(folder, ggufExporter({ type: 'f16' }))).difference).toBeLessThan(precisions.float16.nats)
  },
)

it('of the architectures only GPT-J is refused, which llama.cpp does not have as a checkpoint has it', async () => {
  const refused: string[] = []
  for (const [name, folder] of plainCheckpoints) if (await refusalOf(folder)) refused.push(name)
  expect(refused).toEqual(['gptj'])
})

it.each(ggufTypes)('the embedded model in %s brings its tokenizer along', async (type) => {
  await exported(checkpoints.stories260K, ggufExporter({ type }))
  const text = 'Once upon a time, there was a dog.'
  const [ours, theirs] = await Promise.all([checkpoints.stories260K, path()].map((at) => modelFiles(at).tokenizer()))
  expect(theirs.encode(text, { addSpecialTokens: true })).toEqual(ours.encode(text, { addSpecialTokens: true }))
  const file = openGguf(path())
  expect(file.info('blk.0.attn_q.weight').type).toBe(type.toUpperCase())
  file.close()
})

it('a model that is a GGUF file itself can take an adapter and leave as one, but not as a folder', async () => {
  await exported(checkpoints.stories260K, ggufExporter({ type: 'f16' }))
  const policy = policyOf(path())
  const { texts } = await heldOutOf(policy)
  const { difference } = await exportPolicy(policy, ggufExporter({ type: 'f16' }), {
    path: join(home, 'again.gguf'),
    texts,
    threads: 1,
  })
  expect(difference).toBeLessThan(precisions.float16.nats)
  await expect(mergedExporter.check(policy, join(home, 'folder'))).rejects.toThrow(
    /takes over the files of a model folder/,
  )
})

it('one wrong byte is found, its tensor named, and nothing is left behind', async () => {
  const honest = ggufExporter({ type: 'q8_0' })
  const careless: Exporter = {
    ...honest,
    write(policy, at) {
      honest.write(policy, at)
      const file = openGguf(at)
      const { offset } = file.info('blk.2.ffn_up.weight')
      file.close()
      const descriptor = openSync(at, 'r+')
      writeSync(descriptor, Uint8Array.of(readFileSync(at)[offset + 9] ^ 64), 0, 1, offset + 9)
      closeSync(descriptor)
    },
  }
  await expect(exported(checkpoints.stories260K, careless)).rejects.toThrow(
    /tensor model\.layers\.2\.mlp\.up_proj\.weight is not the policy's: element 7 is off by/,
  )
  expect(readdirSync(home)).toEqual([])
})

it('a name that readers would not know is refused', async () => {
  const policy = policyOf(checkpoints.stories260K)
  await expect(ggufExporter({ type: 'f16' }).check(policy, 'merged.bin')).rejects.toThrow(/let it end with \.gguf/)
})
