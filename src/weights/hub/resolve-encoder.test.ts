import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { startHub } from '../../../test/hub-server.ts'
import { resolveEncoder } from './resolve-encoder.ts'

const home = mkdtempSync(join(tmpdir(), 'encoder-'))
const commit = 'e'.repeat(40)
const small = { 'config.json': Buffer.from('{}'), 'tokenizer.json': Buffer.from('{"a":1}') }
const repository = (content: Record<string, Buffer>) => ({
  commits: { [commit]: content },
  branches: { main: commit },
})

let hub: Awaited<ReturnType<typeof startHub>>
beforeAll(async () => {
  hub = await startHub({
    'sentences/whole': repository({
      ...small,
      '1_Pooling/config.json': Buffer.from('{"pooling_mode_mean_tokens":true}'),
      'onnx/model.onnx': Buffer.from('full'),
      'onnx/model_quantized.onnx': Buffer.from('quantized'),
      'pytorch_model.bin': Buffer.from('pickle'),
    }),
    'sentences/none': repository(small),
  })
  vi.stubEnv('HF_ENDPOINT', hub.url)
  vi.stubEnv('HF_HUB_CACHE', join(home, 'cache'))
  for (const name of ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN', 'HF_HUB_OFFLINE']) vi.stubEnv(name, '')
})
afterEach(() => {
  hub.asked.length = 0
  rmSync(join(home, 'cache'), { recursive: true, force: true })
})
afterAll(async () => {
  vi.unstubAllEnvs()
  await hub.close()
  rmSync(home, { recursive: true })
})

test('an encoder of the hub is fetched into its folders, the quantized file alone, and then taken from the cache', async () => {
  const folder = await resolveEncoder('sentences/whole')
  expect(readFileSync(join(folder, 'onnx/model_quantized.onnx'), 'utf8')).toBe('quantized')
  expect(readFileSync(join(folder, '1_Pooling/config.json'), 'utf8')).toContain('mean')
  expect(hub.asked.filter(({ host }) => host === 'files').map(({ path }) => path)).toEqual([
    `/sentences/whole/${commit}/onnx/model_quantized.onnx`,
  ])
  hub.asked.length = 0
  expect(await resolveEncoder('sentences/whole')).toBe(folder)
  expect(hub.asked).toEqual([])
})

test('a repository without one is refused by name', async () => {
  await expect(resolveEncoder('sentences/none')).rejects.toThrow(/sentences\/none: no sentence encoder: .*choose a/)
})

test('what is not cached is not fetched where that is forbidden', async () => {
  vi.stubEnv('HF_HUB_OFFLINE', '1')
  await expect(resolveEncoder('sentences/whole')).rejects.toThrow('HF_HUB_OFFLINE forbids')
  vi.stubEnv('HF_HUB_OFFLINE', '')
})

test('a folder that exists is never looked for on the hub', async () => {
  const folder = join(home, 'sentences/whole')
  mkdirSync(folder, { recursive: true })
  expect(await resolveEncoder(folder)).toBe(folder)
  expect(hub.asked).toEqual([])
})
