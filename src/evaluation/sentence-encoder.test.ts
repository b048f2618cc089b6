import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromRoot } from '../../test/from-root.ts'
import { float32 } from '../runtime/host-tensor.ts'
import { constant, gather, reshape } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import { meanPairwiseCosineDistance } from './diversity.ts'
import { embeddingScore } from './embedding-score.ts'
import { openSentenceEncoder, type SentenceEncoder } from './sentence-encoder.ts'

const absent = !existsSync(fromRoot('../shared/models/all-MiniLM-L6-v2'))
describe.skipIf(absent)(`all-MiniLM-L6-v2${absent ? ': skipped, there is no ../shared/models' : ''}`, () => {
  type Golden = { sentences: string[]; cosine_int8_onnx_single: number[][]; cosine_float32_pytorch: number[][] }
  let golden: Golden
  let encoder: SentenceEncoder
  beforeAll(async () => {
    golden = JSON.parse(readFileSync(fromRoot('../shared/golden/sentence-embeddings.json'), 'utf8'))
    encoder = await openSentenceEncoder(fromRoot('../shared/models/all-MiniLM-L6-v2'), { threads: 1 })
  })
  afterAll(() => encoder.dispose())

  test('gives the similarities of other software that runs the same quantized file', async () => {
    const embeddings = await encoder.embed(golden.sentences)
    for (const [i, a] of embeddings.entries()) {
      expect(a).toHaveLength(384)
      expect(Math.hypot(...a)).toBeCloseTo(1, 5)
      for (const [j, b] of embeddings.entries()) {
        const similarity = a.reduce((sum, value, k) => sum + value * b[k], 0)
        expect(Math.abs(similarity - golden.cosine_int8_onnx_single[i][j])).toBeLessThan(0.01) // int8 arithmetic differs between processors
        expect(Math.abs(similarity - golden.cosine_float32_pytorch[i][j])).toBeLessThan(0.05) // and from that of the full weights
      }
    }
  })

  test('does not depend on what else is asked, and takes texts of any length', async () => {
    const [alone] = await encoder.embed(['A man is eating food.'])
    const among = await encoder.embed(['Hi.', 'A man is eating food.', 'A man is eating food.'])
    expect(among[1]).toEqual(alone)
    expect(among[2]).toEqual(alone)
    const [long, empty] = await encoder.embed(['word '.repeat(2000), ''])
    for (const embedding of [long, empty]) expect(Math.hypot(...embedding)).toBeCloseTo(1, 5)
  })

  test('tells a paraphrase from another sentence, as a whole and token by token', async () => {
    const [food, bread, baby] = golden.sentences
    const close = meanPairwiseCosineDistance(await encoder.embed([food, bread]))
    expect(close).toBeLessThan(meanPairwiseCosineDistance(await encoder.embed([food, baby])) - 0.5)
    const [a, b, c] = await encoder.embedTokens([food, bread, baby])
    expect(a).toHaveLength(6) // a man is eating food . without [CLS] and [SEP]
    expect(embeddingScore(a, a).f1).toBeCloseTo(1, 5)
    expect(embeddingScore(a, b).f1).toBeGreaterThan(embeddingScore(a, c).f1 + 0.2)
  })
})

describe('an encoder of four words', () => {
  const folder = mkdtempSync(join(tmpdir(), 'encoder-'))
  const write = (name: string, content: object | Uint8Array) => {
    mkdirSync(join(folder, name, '..'), { recursive: true })
    writeFileSync(join(folder, name), content instanceof Uint8Array ? content : JSON.stringify(content))
  }
  const words = ['[CLS]', '[SEP]', '[UNK]', 'sun', 'moon']
  const table = [1, 0, 0, 1, 9, 9, 3, 0, 0, 4]
  beforeAll(() => {
    const vocab = Object.fromEntries(words.map((word, id) => [word, id]))
    const special = (id: number) => ({ id: words[id], ids: [id], tokens: [words[id]] })
    write('tokenizer.json', {
      added_tokens: [0, 1, 2].map((id) => ({ id, content: words[id], special: true })),
      normalizer: { type: 'BertNormalizer', lowercase: true },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: {
        type: 'TemplateProcessing',
        single: [
          { SpecialToken: { id: '[CLS]', type_id: 0 } },
          { Sequence: { id: 'A', type_id: 0 } },
          { SpecialToken: { id: '[SEP]', type_id: 0 } },
        ],
        pair: [],
        special_tokens: { '[CLS]': special(0), '[SEP]': special(1) },
      },
      decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
      model: { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', vocab },
    })
    write('config.json', { max_position_embeddings: 5 })
    const program = buildProgram(
      'encoder',
      { input_ids: { dtype: 'int64', shape: [1, 'tokens'] } },
      ({ input_ids }) => {
        const ids = reshape(input_ids, ['tokens'])
        return { last_hidden_state: reshape(gather(constant(float32([5, 2], table)), ids), [1, 'tokens', 2]) }
      },
    )
    write('onnx/model.onnx', program.bytes)
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const embed = async (...texts: string[]) => {
    const encoder = await openSentenceEncoder(folder, { threads: 1 })
    const result = { whole: await encoder.embed(texts), tokens: await encoder.embedTokens(texts) }
    await encoder.dispose()
    return result
  }

  test('pools the mean of all tokens, special ones too, and leaves these out token by token', async () => {
    const { whole, tokens } = await embed('Sun moon')
    const mean = [1 + 0 + 3 + 0, 0 + 1 + 0 + 4].map((sum) => sum / 4)
    for (const [k, value] of mean.entries()) expect(whole[0][k]).toBeCloseTo(value / Math.hypot(...mean), 6)
    expect(tokens[0].map((vector) => [...vector])).toEqual([
      [1, 0],
      [0, 1],
    ])
  })

  test('keeps the beginning and the last special token of a text that is too long', async () => {
    expect(await embed('sun sun sun moon moon')).toMatchObject({ tokens: (await embed('sun sun sun')).tokens })
    const { whole } = await embed('sun sun sun moon moon', 'sun sun sun')
    expect(whole[0]).toEqual(whole[1])
  })

  test('pools by the first token where the folder says so, and refuses other ways', async () => {
    write('1_Pooling/config.json', { pooling_mode_cls_token: true, pooling_mode_mean_tokens: false })
    const { whole } = await embed('moon')
    expect([...whole[0]]).toEqual([1, 0])
    write('1_Pooling/config.json', { pooling_mode_max_tokens: true })
    await expect(embed('moon')).rejects.toThrow('pools neither by the mean of tokens nor by the first one')
    rmSync(join(folder, '1_Pooling'), { recursive: true })
  })

  test('what is no encoder is refused by name', async () => {
    const file = (name: string) => openSentenceEncoder(folder, { file: name })
    write('empty/readme', {})
    await expect(openSentenceEncoder(join(folder, 'empty'))).rejects.toThrow(
      /empty: no sentence encoder here: there is no onnx\/model_quantized.onnx or .*; it holds readme/,
    )
    write('broken.onnx', Uint8Array.from([1, 2, 3]))
    await expect(file('broken.onnx')).rejects.toThrow('broken.onnx: no ONNX model; get the file again')
    write('other.onnx', buildProgram('other', { x: { dtype: 'float32', shape: ['n'] } }, ({ x }) => ({ y: x })).bytes)
    await expect(file('other.onnx')).rejects.toThrow('other.onnx: no encoder of text: it maps x to y')
  })
})
