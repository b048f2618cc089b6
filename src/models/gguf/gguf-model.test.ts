/** Models written to GGUF and read back, against the checkpoints that they were made from and against other software. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { fromRoot } from '../../../test/from-root.ts'
import { UserError } from '../../errors.ts'
import { float32, type HostTensor } from '../../runtime/host-tensor.ts'
import { loadTokenizer } from '../../tokenizer/tokenizer.ts'
import { narrowToFloat16, widenFloat16 } from '../../weights/dtypes.ts'
import { openWeights } from '../../weights/open-weights.ts'
import { writeSafetensors } from '../../weights/safetensors.ts'
import { describeModel, loadLanguageModel, loadWeights } from '../language-model.ts'
import { modelFiles } from '../model-files.ts'
import { textLogits } from '../score.ts'
import { scoreText } from '../score-text.ts'
import { FAMILIES } from './families.ts'
import { openGgufWeights } from './gguf-model.ts'
import { type GgufModel, writeGguf } from './write-gguf.ts'

const checkpoint = (name: string) => fromRoot(`test/golden/checkpoints/${name}`)
const embedded = fromRoot('models/stories260K')
const folder = mkdtempSync(join(tmpdir(), 'gguf-model-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** A model folder as a GGUF file. */
function toGguf(source: string, changes: Partial<GgufModel> = {}): string {
  const { name, config, configPath, openWeights } = modelFiles(source)
  const weights = openWeights()
  const path = join(folder, `${name}.gguf`)
  try {
    const tensors = weights.names.map((tensor) => ({
      name: tensor,
      shape: weights.shapeOf(tensor),
      parts: (elements: number) => weights.parts(tensor, elements),
    }))
    writeGguf(path, { config: config(), configPath, type: 'F16', tensors, ...changes })
  } finally {
    weights.close()
  }
  return path
}

const refusal = (work: () => unknown) => {
  try {
    work()
  } catch (error) {
    expect(error).toBeInstanceOf(UserError)
    return (error as UserError).message
  }
  throw new Error('was not refused')
}

const GOLDEN = ['llama', 'llama_rope_scaled', 'mistral', 'qwen2', 'qwen3', 'gpt2', 'gpt_neox']

it('every family has a checkpoint here', () => {
  const types = GOLDEN.map((name) => (modelFiles(checkpoint(name)).config() as { model_type: string }).model_type)
  expect(FAMILIES.flatMap(({ modelTypes }) => modelTypes).filter((type) => !types.includes(type))).toEqual([])
})

describe.each(GOLDEN)('%s, written as F16 and read back', (name) => {
  const path = toGguf(checkpoint(name))

  it('says the same in its config', () => {
    const [before, after] = [checkpoint(name), path].map(
      (model) => modelFiles(model).config() as Record<string, unknown>,
    )
    const architecture = name === 'mistral' ? { architectures: ['LlamaForCausalLM'], model_type: 'llama' } : {}
    const stated: Record<string, unknown> = { bos_token_id: null, eos_token_id: null, ...architecture } // without a tokenizer they are not written
    for (const [key, value] of Object.entries(after)) {
      const wanted = key in stated ? stated[key] : before[key]
      if (wanted !== undefined && wanted !== null) expect([key, value]).toEqual([key, wanted])
    }
    expect(after.tie_word_embeddings).toBe(before.tie_word_embeddings)
  })

  it('computes what the checkpoint computes with its matrices rounded to float16, to the last bit', async () => {
    const { tokens, logits } = JSON.parse(readFileSync(fromRoot(`test/golden/models-${name}.json`), 'utf8'))
    const rounded = join(folder, `${name}-rounded`)
    roundedCheckpoint(checkpoint(name), rounded)
    const [expected, actual] = [await logitsOf(rounded, tokens), await logitsOf(path, tokens)]
    expect(Array.from(actual)).toEqual(Array.from(expected))
    const scale = Math.max(...logits.map(Math.abs))
    const worst = Math.max(...logits.map((value: number, i: number) => Math.abs(value - actual[i])))
    expect(worst / scale).toBeLessThan(5e-3) // 2⁻¹¹ of each weight, through two layers of random ones
  })

  it('has every tensor under its name, in parts and as a whole', () => {
    const [weights, written] = [modelFiles(checkpoint(name)).openWeights(), openGgufWeights(path)]
    expect([...written.names].sort()).toEqual([...weights.names].sort())
    for (const tensor of written.names) {
      const whole = written.read(tensor)
      expect(whole.shape).toEqual(weights.shapeOf(tensor))
      const parts = Array.from(written.parts(tensor, 100), (part) => [...part])
      expect(Math.max(...parts.map(({ length }) => length))).toBeLessThanOrEqual(100)
      expect(parts.flat()).toEqual(Array.from(whole.data as Float32Array))
    }
    weights.close()
    written.close()
  })

  it('as Q8_0 is within half a step of a block’s 127th part', () => {
    const quantised = toGguf(checkpoint(name), { type: 'Q8_0', name: 'x' })
    const [weights, written] = [modelFiles(checkpoint(name)).openWeights(), openGgufWeights(quantised)]
    for (const tensor of written.names) {
      const [exact, stored] = [weights, written].map((file) => file.read(tensor).data as Float32Array)
      const largest = Math.max(...exact.map(Math.abs))
      const worst = Math.max(...exact.map((value, i) => Math.abs(value - stored[i])))
      expect(worst).toBeLessThanOrEqual((largest / 127) * (0.5 + 127 * 2 ** -11))
    }
    weights.close()
    written.close()
    toGguf(checkpoint(name)) // the other tests read it
  })
})

/** The same checkpoint with what GGUF stores as F16 rounded to it. */
function roundedCheckpoint(source: string, target: string): void {
  const weights = openWeights(source)
  const tensors = weights.names.map((name): [string, HostTensor] => {
    const { shape, data } = weights.read(name)
    const keep = shape.length === 1 || name.endsWith('wpe.weight')
    const values = data as Float32Array
    return [name, float32(shape, keep ? values : widenFloat16(narrowToFloat16(values)))]
  })
  weights.close()
  mkdirSync(target)
  writeFileSync(join(target, 'config.json'), JSON.stringify(modelFiles(source).config()))
  writeSafetensors(join(target, 'model.safetensors'), Object.fromEntries(tensors))
}

async function logitsOf(path: string, tokens: readonly number[]): Promise<Float32Array> {
  const model = describeModel(path)
  const { lanes } = await loadWeights(path, model, { threads: 1 })
  try {
    return await lanes.use((lane) => textLogits(lane, { model }, tokens))
  } finally {
    await lanes.dispose()
  }
}

describe('the embedded model as GGUF, a SentencePiece vocabulary', () => {
  const { tokenizerSource, tokenizer } = modelFiles(embedded)
  const path = toGguf(embedded, { tokenizer: tokenizerSource(), chatTemplate: '{{ messages }}', name: 'stories' })

  it('has the same tokenizer, and the same scores of real text to 2e-3', async () => {
    const texts = JSON.parse(readFileSync(fromRoot('test/golden/stories260K.json'), 'utf8')).slice(0, -1)
    const [model, original] = [await loadLanguageModel(path, { threads: 1 }), await tokenizer()]
    for (const { text, tokens, log_p_of_each_next_token } of texts) {
      expect(model.tokenizer.encode(text === '<s>' ? '' : text, { addSpecialTokens: true })).toEqual(tokens)
      expect(model.tokenizer.decode(tokens)).toBe(original.decode(tokens))
      const scores = await model.lanes.use((lane) => scoreText(lane, { model: model.description }, tokens))
      for (const [i, wanted] of log_p_of_each_next_token.entries())
        expect(Math.abs(scores[i] - wanted) / Math.max(1, Math.abs(wanted))).toBeLessThan(2e-3)
    }
    await model.dispose()
  })

  it('is a model with a name, a template, limits of texts and a hash of its own', () => {
    const files = modelFiles(path)
    expect(files.name).toBe('stories260K')
    expect(files.chatTemplate()).toBe('{{ messages }}')
    expect(modelFiles(embedded).chatTemplate()).toBeUndefined()
    expect(files.tokenizerSource().limits).toEqual({ bosToken: 1, eosToken: 2 })
    expect(files.config()).toMatchObject({ bos_token_id: 1, eos_token_id: 2, vocab_size: 512 })
    const hash = files.contentHash()
    expect(hash).toMatch(/^[0-9a-f]{64}$/)
    writeFileSync(path, Buffer.concat([readFileSync(path), Uint8Array.of(1)]))
    expect(modelFiles(path).contentHash()).not.toBe(hash)
  })

  it('is found in a folder of its own, and refused by name beside another', () => {
    const alone = join(folder, 'alone')
    mkdirSync(alone)
    writeFileSync(join(alone, 'a.gguf'), readFileSync(path))
    expect(modelFiles(alone).path).toBe(join(alone, 'a.gguf'))
    writeFileSync(join(alone, 'b.GGUF'), '')
    expect(refusal(() => modelFiles(alone))).toMatch(/several models: a\.gguf, b\.GGUF; give the path of one/)
    writeFileSync(join(alone, 'x.bin'), '')
    expect(refusal(() => modelFiles(join(alone, 'x.bin')))).toMatch(/not a model; give a model folder or a \.gguf file/)
  })
})

describe('what GGUF cannot hold is refused before a file appears', () => {
  const target = (name: string) => join(folder, `${name}.gguf`)
  it.each([
    ['gptj', /a model of type "gptj" cannot be written to GGUF; GGUF holds llama, mistral, qwen2/],
    ['mistral_window', /sliding window/],
    ['qwen3_dynamic', /attention_bias: GGUF holds no more biases/],
    ['llama_biased', /hidden_act: GGUF holds silu only/],
    ['gpt2_scaled', /activation_function: GGUF holds gelu_new only/],
    ['gpt_neox_sequential', /hidden_act: GGUF holds gelu only/],
  ])('%s', (name, message) => {
    expect(refusal(() => toGguf(checkpoint(name)))).toMatch(message)
    expect(existsSync(target(name))).toBe(false)
  })

  it('a tensor that is missing, one too many, and values beyond float16', () => {
    rmSync(target('gpt2'), { force: true })
    const source = checkpoint('gpt2')
    const tensor = (name: string, value = 0) => ({ name, shape: [1], parts: () => [Float32Array.of(value)] })
    expect(refusal(() => toGguf(source, { tensors: [] }))).toMatch(/tensor transformer\.wte\.weight is missing/)
    expect(refusal(() => toGguf(source, { tensors: [tensor('lm_head.weight')] }))).toMatch(
      /lm_head\.weight has no place/,
    )
    expect(refusal(() => toGguf(source, { tensors: [tensor('x')] }))).toMatch(/tensor x has no place/)
    const weights = modelFiles(source).openWeights()
    const tensors = weights.names.map((name) => ({
      name,
      shape: weights.shapeOf(name),
      parts: () => [(weights.read(name).data as Float32Array).fill(name.endsWith('wte.weight') ? 1e5 : 0)],
    }))
    expect(refusal(() => toGguf(source, { tensors }))).toMatch(
      /tensor token_embd\.weight has values that F16 cannot hold/,
    )
    weights.close()
    expect(existsSync(target('gpt2'))).toBe(false)
  })

  it('a vocabulary of another size than the embedding matrix', () => {
    const { tokenizerSource } = modelFiles(embedded)
    expect(refusal(() => toGguf(checkpoint('llama'), { tokenizer: tokenizerSource() }))).toMatch(
      /token \d+ has no row in the model's embedding matrix of 131/,
    )
  })
})

const real135M = '../shared/models/SmolLM2-135M-Instruct-GGUF'
const values = '../shared/golden/smollm2-135m-instruct-q4_1.json'
const isAbsent = !existsSync(fromRoot(real135M)) || !existsSync(fromRoot(values))
describe.skipIf(isAbsent)(`SmolLM2-135M in Q4_1 blocks${isAbsent ? `: skipped, there is no ${real135M}` : ''}`, () => {
  it('agrees with other software on real text: log-probabilities and the ten most probable tokens, to 1e-4', async () => {
    const model = await loadLanguageModel(fromRoot(real135M), { threads: 2 })
    const { description, tokenizer, lanes } = model
    const { vocabulary } = description.dimensions
    expect(model.name).toBe('SmolLM2-135M-Instruct.Q4_1')
    expect([tokenizer.bosToken, tokenizer.eosToken]).toEqual([1, 2])
    for (const golden of JSON.parse(readFileSync(fromRoot(values), 'utf8'))) {
      expect(tokenizer.encode(golden.text)).toEqual(golden.tokens)
      const scores = await lanes.use((lane) => scoreText(lane, { model: description }, golden.tokens))
      for (const [i, wanted] of golden.log_p_of_each_next_token.entries())
        expect(Math.abs(scores[i] - wanted)).toBeLessThan(1e-4 * Math.max(1, Math.abs(wanted)))
      const logits = await lanes.use((lane) => textLogits(lane, { model: description }, golden.tokens))
      for (const [i, tokens] of golden.top10_tokens.entries()) {
        const row = logits.subarray(i * vocabulary, (i + 1) * vocabulary)
        const order = [...row.keys()].sort((a, b) => row[b] - row[a])
        expect(order.slice(0, 10)).toEqual(tokens)
        const largest = row[order[0]]
        const logSum = largest + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - largest), 0))
        for (const [k, token] of tokens.entries())
          expect(Math.abs(row[token] - logSum - golden.top10_log_p[i][k])).toBeLessThan(1e-4)
      }
    }
    await model.dispose()
  })

  it('has the tokenizer of the folder beside it, on hard strings', async () => {
    const tokenizer = await modelFiles(fromRoot(real135M)).tokenizer()
    const hard: { text: string; tokens: number[]; decoded: string }[] = JSON.parse(
      readFileSync(fromRoot('test/golden/tokenizers.json'), 'utf8'),
    ).smollm2
    for (const { text, tokens, decoded } of hard) {
      expect(tokenizer.encode(text, { allowSpecial: true })).toEqual(tokens)
      expect(tokenizer.decode(tokens)).toBe(decoded)
    }
    const beside = '../shared/data/tokenizers/smollm2'
    if (!existsSync(fromRoot(beside))) return
    const original = await loadTokenizer(fromRoot(beside))
    for (const fact of ['vocabularySize', 'specialTokens', 'bosToken', 'eosToken'] as const)
      expect(tokenizer[fact]).toEqual(original[fact])
  })

  it('has its chat template', () => {
    expect(modelFiles(fromRoot(real135M)).chatTemplate()).toMatch(/<\|im_start\|>assistant/)
  })
})
