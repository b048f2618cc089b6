/** Models of the hub on the command line: fetched by name, listed, shown, trained; and what this machine has. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { loadLanguageModel } from '../src/models/language-model.ts'
import { devices } from '../src/runtime/providers.ts'
import { embeddedModel } from '../src/tasks/embedded.ts'
import { deviceProblem } from '../src/tensor/probe-device.ts'
import { flowtune } from './command-line.ts'
import { type Repository, startHub } from './hub-server.ts'

const home = mkdtempSync(join(tmpdir(), 'hub-models-'))
const commit = 'c'.repeat(40)
const files = (folder: string, without: string[] = []) =>
  Object.fromEntries(
    readdirSync(folder)
      .filter((name) => !without.includes(name))
      .map((name) => [name, readFileSync(join(folder, name))]),
  )
const repository = (content: Record<string, Buffer>): Repository => ({
  commits: { [commit]: content },
  branches: { main: commit },
})
const embedded = files(embeddedModel)
const foreign = { ...embedded, 'config.json': Buffer.from('{"model_type":"mamba"}') }

let hub: Awaited<ReturnType<typeof startHub>>
beforeAll(async () => {
  hub = await startHub({
    'stories/small': repository(embedded),
    'stories/foreign': repository(foreign),
    'stories/bare': repository(files(embeddedModel, ['tokenizer.json'])),
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

const weightsAsked = () => hub.asked.filter(({ host }) => host === 'files').length
const data = join(home, 'stories.jsonl')
const rows = ['The sun was hot.', 'Tom had a dog.', 'Lily saw a cat.'].map((beginning) => ({
  beginning,
  ending: 'The end.',
}))
writeFileSync(data, rows.map((row) => JSON.stringify(row)).join('\n'))
const train = (...words: string[]) =>
  flowtune(['train', '--data', data, '--steps', '1', '--threads', '1', '--set', 'samplesPerPrompt=4', ...words])

describe('a model of the hub', () => {
  test('is trained by its name, which its run and its adapter keep', async () => {
    const out = join(home, 'run')
    const { code, err } = await train('--model', 'stories/small', '--out', out)
    expect(code).toBe(0)
    expect(err).toMatch(/^model\.safetensors 1\.0 MB\/1\.0 MB \(100%\): .* left, \d.* [kMG]B\/s$/m)
    expect(err).toMatch(/^stories\/small, 260,032 parameters/m)
    const record = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'))
    expect(record).toMatchObject({ device: 'cpu', model: { folder: expect.stringContaining(`snapshots/${commit}`) } })
    const adapter = JSON.parse(readFileSync(join(out, 'adapter', 'adapter_config.json'), 'utf8'))
    expect(adapter.base_model_name_or_path).toBe('stories/small')
    const sample = ['--beginning', 'Tom had a dog.', '--ending', 'The end.', '--samples', '2', '--json']
    expect((await flowtune(['sample', out, '--model', `stories/small@${commit}`, ...sample])).code).toBe(0)
  })

  test('scores like the same model in a folder', async () => {
    const score = async (model: string, ...words: string[]) =>
      JSON.parse((await flowtune(['score', '--model', model, '--json', ...words])).out)
    expect(await score('stories/small', 'Tom had a dog.')).toEqual(await score(embeddedModel, 'Tom had a dog.'))
    expect(await score('stories/bare', '--tokens', '5,6')).toEqual(await score(embeddedModel, '--tokens', '5,6'))
  })

  test('is loaded by the library too, with its progress', async () => {
    const seen = new Set<string>()
    const model = await loadLanguageModel('stories/small', { threads: 1, onDownload: ({ file }) => seen.add(file) })
    expect(model.name).toBe('stories/small')
    expect([...seen].at(-1)).toBe('model.safetensors')
    await model.dispose()
  })

  test('of an unknown architecture is refused before its weights are fetched, and before a run is made', async () => {
    const out = join(home, 'never')
    const { code, err } = await train('--model', 'stories/foreign', '--out', out)
    expect(code).toBe(2)
    expect(err).toMatch(/^flowtune: .*config\.json: unknown architecture "mamba"/m)
    expect(weightsAsked()).toBe(0)
    expect(readdirSync(home)).not.toContain('never')
  })

  test('is not asked for where the data is missing', async () => {
    const { err } = await flowtune(['train', '--data', join(home, 'absent.csv'), '--model', 'stories/small'])
    expect(err).toMatch(/absent\.csv: there is no such file/)
    expect(hub.asked).toEqual([])
  })
})

describe('flowtune models', () => {
  test('pull fetches a model once and says where it is', async () => {
    const first = await flowtune(['models', 'pull', 'stories/small'])
    expect(first.out).toMatch(
      /snapshots.c{40}: 1\.1 MB\nuse it: npx flowtune train --model stories\/small --data FILE\n$/,
    )
    expect(weightsAsked()).toBe(1)
    const again = await flowtune(['models', 'pull', 'stories/small', '--json'])
    expect(JSON.parse(again.out)).toMatchObject({ name: 'stories/small', problem: null })
    expect(weightsAsked()).toBe(1)
  })

  test('pull shows a bar for each file on a terminal', async () => {
    const { err } = await flowtune(['models', 'pull', 'stories/small'], true)
    for (const file of ['config.json', 'tokenizer.json', 'model.safetensors'])
      expect(err).toMatch(new RegExp(`${file.replaceAll('.', '\\.')} [█░]+ +\\d+%`))
  })

  test.each([
    [embeddedModel, /is here already; name one as owner\/name/],
    ['small', /"small" is no model of the hub; name one as owner\/name/],
    [
      'stories/absent',
      /^flowtune: stories\/absent: there is no such folder here, and .* shows no such model; check the name/,
    ],
  ])('pull refuses %s', async (name, message) => {
    const { code, out, err } = await flowtune(['models', 'pull', name])
    expect([code, out]).toEqual([2, ''])
    expect(err).toMatch(message)
  })

  test('list has what is cached and what is given, and says why something cannot be used', async () => {
    await flowtune(['models', 'pull', 'stories/small'])
    await flowtune(['models', 'pull', 'stories/bare'])
    await flowtune(['models', 'pull', 'stories/foreign'])
    await flowtune(['models', 'show', `stories/bare@${commit}`])
    const { out } = await flowtune(['models', 'list', home, '--json'])
    const models: { name: string; problem: string | null; commit: string | null }[] = JSON.parse(out)
    expect(models.map(({ name, problem }) => [name, problem])).toEqual([
      [embeddedModel, null],
      [home, 'no model here: there is no config.json'],
      ['stories/bare', 'no tokenizer.json: only --tokens can be scored'],
      [`stories/foreign@${commit}`, 'unknown architecture "mamba"'],
      ['stories/small', null],
    ])
    expect(models.at(-1)).toMatchObject({ commit, architecture: 'llama', parameters: 260_032 })
    const shown = await flowtune(['models', 'list'])
    expect(shown.out).toMatch(/^stories\/small +ccccccc +1\.1 MB +llama +260,032 +yes$/m)
  })

  test('show tells parameters, memory and adapter of a model whose weights are not here', async () => {
    const { out } = await flowtune(['models', 'show', 'stories/small', '--json'])
    expect(weightsAsked()).toBe(0)
    const model = JSON.parse(out)
    expect(model).toMatchObject({
      name: 'stories/small',
      architecture: 'llama',
      parameters: 260_032,
      contextLength: 512,
    })
    expect(model.memory.float32).toBe(4 * 260_032)
    expect(Object.keys(model.memory)).toEqual(['float32', 'float16', 'int8', 'int4'])
    expect(model.adapter).toMatchObject({ rank: 32, layers: 35, parameters: 184_960 })
    const text = (await flowtune(['models', 'show', embeddedModel])).out
    expect(text).toMatch(/^adapter of rank 32 +184,960 parameters, 740 kB$/m)
  })
})

describe('a device', () => {
  test('that is absent is refused with the reason and what is there, before any work', async () => {
    for (const device of devices) {
      if ((await deviceProblem(device)) === undefined) continue
      const { code, out, err } = await train('--model', 'stories/small', '--device', device)
      expect([code, out]).toEqual([2, ''])
      expect(err).toMatch(
        new RegExp(`^flowtune: the device "${device}" is not there: .+; it needs .+; this machine has cpu`, 'm'),
      )
    }
    expect(hub.asked).toEqual([])
  })

  test('that does not exist is refused with those that do', async () => {
    const { code, err } = await train('--device', 'gpu')
    expect(code).toBe(2)
    expect(err).toMatch(/'gpu' is invalid\. Allowed choices are cpu, cuda, webgpu, coreml, dml\./)
  })
})

test('the doctor says what this machine has and how fast it is', async () => {
  const { code, out } = await flowtune(['doctor', '--seconds', '1', '--threads', '1', '--json'])
  expect(code).toBe(0)
  const findings = JSON.parse(out)
  expect(findings).toMatchObject({ node: process.versions.node, onnxruntime: expect.stringMatching(/^1\.\d+\.\d+$/) })
  expect(findings.devices.cpu).toBeNull()
  expect(Object.keys(findings.devices)).toEqual([...devices])
  expect(findings.memory.free).toBeLessThanOrEqual(findings.memory.total)
  for (const figure of ['gigaOperationsPerSecond', 'copyBytesPerSecond', 'learnTokensPerSecond'])
    expect(findings.speed[figure]).toBeGreaterThan(0)
  const text = (await flowtune(['doctor', '--seconds', '1', '--threads', '1'])).out
  expect(text).toMatch(/^--device cpu +present$/m)
  expect(text).toMatch(/^\d+ tokens\/s +learn step of the embedded model/m)
})
