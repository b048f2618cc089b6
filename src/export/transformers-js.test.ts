/** Exports in the software that they are made for, where it is installed: `npm install --no-save @huggingface/transformers@4`. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkpoints, heldOutOf, plainCheckpoints, policyOf } from '../../test/exports.ts'
import { loadWeights } from '../models/language-model.ts'
import { modelFiles } from '../models/model-files.ts'
import { textLogits } from '../models/score.ts'
import { readOnnxFolder, writeOnnxFolder } from './onnx.ts'
import type { Policy } from './policy.ts'
import { precisions } from './precision.ts'
import { INSTALL, loadTransformersJs, openTransformersJs, verifyTokenizer } from './transformers-js.ts'
import { verify } from './verify.ts'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'transformers-js-'))
})
afterEach(() => rmSync(home, { recursive: true }))
const at = (...names: string[]) => join(home, ...names)

const isInstalled = (() => {
  try {
    createRequire(import.meta.url).resolve('@huggingface/transformers')
    return true
  } catch {
    console.warn(`skipped, for transformers.js is not installed (${INSTALL}): exports as it reads them`)
    return false
  }
})()

/** The most probable continuation, computed anew for every token. */
async function greedy(
  { path, description, adapter }: Policy,
  prompt: readonly number[],
  count: number,
): Promise<number[]> {
  const { lanes } = await loadWeights(path, description, { threads: 1 })
  const tokens = [...prompt]
  while (tokens.length < prompt.length + count) {
    const logits = await lanes.use((lane) => textLogits(lane, { model: description, adapter }, tokens))
    const last = logits.subarray(-description.dimensions.vocabulary)
    tokens.push(last.indexOf(Math.max(...last)))
  }
  await lanes.dispose()
  return tokens
}

describe.runIf(isInstalled)('transformers.js', () => {
  it.each([
    ...plainCheckpoints.map(([name, folder]) => [name, 'fp32', folder] as const),
    ['stories260K', 'fp16', checkpoints.stories260K],
    ['stories260K', 'q8', checkpoints.stories260K],
  ] as const)('%s in %s computes what the policy does, padded and with its cache', async (_, dtype, folder) => {
    const policy = policyOf(folder)
    const limits = dtype === 'fp32' ? { inlineBytes: 0, dataBytes: 200_000 } : undefined
    writeOnnxFolder(policy, at('onnx'), dtype, limits)
    const reader = await openTransformersJs(at('onnx'), dtype, 1)
    const { difference } = await verify(
      policy,
      await heldOutOf(policy),
      readOnnxFolder(policy, at('onnx'), dtype, reader),
    )
    expect(difference).toBeLessThan({ fp32: 1e-4, fp16: precisions.float16.nats, q8: precisions.int8.nats }[dtype])
    await reader.dispose()
  })

  it('writes the same greedy text', async () => {
    const policy = policyOf(checkpoints.stories260K)
    writeOnnxFolder(policy, at('onnx'), 'fp32')
    const tokenizer = await modelFiles(policy.path).tokenizer()
    const prompt = tokenizer.encode('Once upon a time, there was a', { addSpecialTokens: true })
    const { AutoModelForCausalLM, Tensor } = await loadTransformersJs()
    const model = await AutoModelForCausalLM.from_pretrained(at('onnx'), { local_files_only: true, device: 'cpu' })
    const generate = (model as unknown as { generate: (options: object) => Promise<{ data: BigInt64Array }> }).generate
    const input_ids = new Tensor('int64', BigInt64Array.from(prompt, BigInt), [1, prompt.length])
    const { data } = await generate.call(model, { input_ids, max_new_tokens: 30, do_sample: false })
    expect(Array.from(data, Number)).toEqual(await greedy(policy, prompt, 30))
    await model.dispose()
  })

  it('cuts text into the same tokens, and a tokenizer that does not is told', async () => {
    cpSync(checkpoints.stories260K, at('model'), { recursive: true })
    const tokenizer = await modelFiles(at('model')).tokenizer()
    const encode = (text: string) => tokenizer.encode(text)
    const text = 'Tom had a dog.\nThe dog was "big" — and happy.'
    await verifyTokenizer(at('model'), [text], encode)
    const wrong = verifyTokenizer(at('model'), [text], (text) => encode(text).slice(1))
    await expect(wrong).rejects.toThrow(/transformers\.js makes tokens .* of "Tom had/)
  })
})

it.skipIf(isInstalled)('without the package, the complaint says how to get it', async () => {
  await expect(loadTransformersJs()).rejects.toThrow(/is not installed; npm install @huggingface\/transformers@4/)
})
