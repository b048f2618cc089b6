/** `flowtune export` as users meet it: a trained run leaves in every form, and what went wrong is said in a line. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '../src/cli/commands.ts'
import { embeddedModel } from '../src/tasks/embedded.ts'

const home = mkdtempSync(join(tmpdir(), 'export-'))
const path = (...names: string[]) => join(home, ...names)
afterAll(() => rmSync(home, { recursive: true }))

class Captured extends Writable {
  text = ''
  override _write(chunk: Buffer, _: string, done: () => void) {
    this.text += chunk
    done()
  }
}

async function flowtune(...words: string[]) {
  const [stdout, stderr] = [new Captured(), new Captured()]
  const code = await run(words, { stdout, stderr })
  return { code, out: stdout.text, err: stderr.text }
}

beforeAll(async () => {
  const stories = ['The sun was hot.', 'Tom had a dog.', 'Lily saw a cat.', 'It was a big day.']
  const lines = stories.map((beginning) => JSON.stringify({ beginning, ending: 'They were happy.' }))
  writeFileSync(path('stories.jsonl'), lines.join('\n'))
  const settings = ['promptsPerStep=1', 'samplesPerPrompt=4', 'latent.maxTokens=6', 'optimizer.warmUpSteps=0']
  const options = ['--steps', '4', '--threads', '1', '--out', path('run'), ...settings.flatMap((s) => ['--set', s])]
  expect((await flowtune('train', '--data', path('stories.jsonl'), ...options)).code).toBe(0)
})

const exported = (form: string, ...options: string[]) =>
  flowtune('export', path('run'), `--${form}`, path(form), '--threads', '1', ...options)

test('merged: the folder is a model of its own that samples as the run does', async () => {
  const { code, out, err } = await exported('merged')
  expect(code).toBe(0)
  expect(out).toMatch(
    /47 tensors are those of the policy\n.*tokens in 2 texts differ by at most .* nats, where 0\.0001/,
  )
  expect(err).toBe('scoring\nwriting\nverifying\n')
  const text = ['Once upon a time, there was a dog.', '--json', '--threads', '1']
  const scores = async (...whose: string[]) => JSON.parse((await flowtune('score', ...whose, ...text)).out)
  const [ofRun, ofCopy] = [await scores(path('run')), await scores('--model', path('merged'))]
  const base = await scores('--model', embeddedModel)
  const distance = (a: (number | null)[], b: (number | null)[]) =>
    Math.max(...a.map((value, i) => Math.abs((value ?? 0) - (b[i] ?? 0))))
  expect(distance(ofRun.logProbabilities, ofCopy.logProbabilities)).toBeLessThan(1e-4)
  expect(distance(base.logProbabilities, ofCopy.logProbabilities)).toBeGreaterThan(1e-3)
})

test('peft and onnx: the JSON says what was compared', async () => {
  const peft = JSON.parse((await exported('peft', '--json')).out)
  expect(peft).toMatchObject({
    form: 'peft',
    path: path('peft'),
    texts: 2,
    tensors: 47,
    difference: 0,
    worstTensor: null,
  })
  expect(readdirSync(path('peft')).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors'])
  const onnx = JSON.parse((await exported('onnx', '--dtype', 'q8', '--reader', 'onnxruntime', '--json')).out)
  expect(onnx).toMatchObject({ form: 'onnx', allowed: 0.5, worstTensor: { name: expect.any(String) } })
  expect(readdirSync(path('onnx', 'onnx'))).toEqual(['model_quantized.onnx'])
})

test('gguf: the file is a model of its own', async () => {
  const words = ['--gguf', path('merged.gguf'), '--type', 'q8_0', '--threads', '1', '--json']
  expect(JSON.parse((await flowtune('export', path('run'), ...words)).out)).toMatchObject({
    form: 'gguf',
    allowed: 0.5,
  })
  const { code, out } = await flowtune('score', '--model', path('merged.gguf'), 'Tom had a dog.', '--json')
  expect(code).toBe(0)
  expect(JSON.parse(out).logProbabilities.length).toBeGreaterThan(4)
})

test('a model without a run is exported with a text to compare on, with an adapter or without', async () => {
  const words = [
    '--model',
    embeddedModel,
    '--threads',
    '1',
    '--json',
    '--text',
    'Tom had a dog.',
    '--text',
    'A cat sat.',
  ]
  const adapter = ['--adapter', path('run', 'adapter')]
  const { out } = await flowtune('export', ...words, ...adapter, '--merged', path('by-hand'))
  expect(JSON.parse(out)).toMatchObject({ texts: 2, tensors: 47 })
  expect((await flowtune('export', ...words, '--merged', path('base'))).code).toBe(0)
  expect((await flowtune('export', ...words, '--peft', path('none'))).err).toMatch(/there is no adapter to export/)
})

test.each([
  [['run'], /it is not said what to write; give one of --merged, .*--peft/],
  [['run', '--merged', 'x', '--peft', 'y'], /one form at a time/],
  [['run', '--gguf', 'x'], /a GGUF file is known by its name; let it end with \.gguf/],
  [['run', '--onnx', 'x', '--dtype', 'q4'], /Allowed choices are fp32, fp16, q8/],
  [['run', '--merged', 'stories.jsonl'], /there is something already; choose another name/],
  [['absent', '--merged', 'x'], /no run here/],
  [['--merged', 'x'], /there is nothing to export; name a run, or a model with --model/],
  [['--model', embeddedModel, '--merged', 'x'], /a model without a run has no held-out text/],
])('%j is refused before any work', async (words, message) => {
  const { code, out, err } = await flowtune(
    'export',
    ...words.map((word) => (/^[a-z.]+$/.test(word) ? path(word) : word)),
  )
  expect({ code, out }).toEqual({ code: 2, out: '' })
  expect(err).toMatch(message)
  expect(err).not.toContain('scoring')
  expect(existsSync(path('x'))).toBe(false)
})
