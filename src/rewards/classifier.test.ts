import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromRoot } from '../../test/from-root.ts'
import { logSumExp } from '../log-space.ts'
import { seededRandom } from '../random.ts'
import { type DType, float32 } from '../runtime/host-tensor.ts'
import { constant, gather, matmul, mul, reshape, sumAxis, toFloat } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { classifier } from './classifier.ts'
import type { RewardContext } from './reward.ts'

const WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'good', 'bad', 'film', '##s', 'a']
const WIDTH = 4
const draws = seededRandom(1).at('weights')
const embedding = Array.from({ length: WORDS.length * WIDTH }, () => draws.normal())
const head = (labels: number) => Array.from({ length: WIDTH * labels }, (_, i) => Math.sin(3 * i + labels))

const folder = mkdtempSync(join(tmpdir(), 'classifier-'))
const at = (name: string) => join(folder, name)
afterAll(() => rmSync(folder, { recursive: true }))

beforeAll(() => {
  const tokenizer = {
    version: '1.0',
    added_tokens: WORDS.slice(0, 4).map((content, id) => ({ id, content, special: true, normalized: false })),
    normalizer: {
      type: 'BertNormalizer',
      lowercase: true,
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [
        { SpecialToken: { id: '[CLS]', type_id: 0 } },
        { Sequence: { id: 'A', type_id: 0 } },
        { SpecialToken: { id: '[SEP]', type_id: 0 } },
      ],
      pair: [],
      special_tokens: {
        '[CLS]': { id: '[CLS]', ids: [2], tokens: ['[CLS]'] },
        '[SEP]': { id: '[SEP]', ids: [3], tokens: ['[SEP]'] },
      },
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(WORDS.map((word, id) => [word, id])),
    },
  }
  writeFileSync(at('tokenizer.json'), JSON.stringify(tokenizer))
  writeFileSync(at('config.json'), JSON.stringify({ id2label: { 0: 'NEGATIVE', 1: 'POSITIVE', 2: 'NEUTRAL' } }))
  writeFileSync(at('three.onnx'), bagOfWords(3, ['input_ids', 'attention_mask', 'token_type_ids']))
  writeFileSync(at('one.onnx'), bagOfWords(1, ['input_ids', 'attention_mask']))
  writeFileSync(at('scores.onnx'), bagOfWords(2, ['input_ids', 'attention_mask'], 'scores'))
  writeFileSync(at('other.onnx'), bagOfWords(2, ['tokens', 'attention_mask']))
  writeFileSync(at('damaged.onnx'), Buffer.from('not a model'))
})

/** Logits of the sum of the embeddings of all tokens that are not masked (and of their types, if it reads them). */
function bagOfWords(labels: number, [ids, ...others]: string[], output = 'logits'): Uint8Array {
  const whole: TensorType = { dtype: 'int64' as DType, shape: ['texts', 'length'] }
  const types = Object.fromEntries([ids, ...others].map((name) => [name, whole]))
  return buildProgram('bag of words', types, (inputs) => {
    const weights = constant(float32([WORDS.length, WIDTH], embedding))
    const ofTokens = gather(weights, inputs[ids]) // [texts, length, width]
    const masks = others.map((name) => toFloat(inputs[name]))
    const seen = mul(ofTokens, reshape(masks[0], ['texts', 'length', 1]))
    const sum: Tensor = reshape(sumAxis(seen, 1), ['texts', WIDTH])
    const logits = matmul(sum, constant(float32([WIDTH, labels], head(labels))))
    const read: Record<string, Tensor> = masks[1] ? { types: masks[1] } : {}
    return { [output]: logits, ...read }
  }).bytes
}

const naiveLogits = (ids: readonly number[], labels: number) =>
  Array.from({ length: labels }, (_, label) =>
    ids.reduce(
      (sum, id) =>
        sum +
        Array.from({ length: WIDTH }, (_, i) => embedding[id * WIDTH + i] * head(labels)[i * labels + label]).reduce(
          (a, b) => a + b,
        ),
      0,
    ),
  )

/** A latent's tokens are words of the classifier here, so that texts are easy to read. */
const context = {
  tokenizer: {
    decodeContinuation: (tokens: readonly number[]) => tokens.map((id) => ` ${WORDS[id]}`).join(''),
  } as Tokenizer,
  support: { stop: 0, minTokens: 0, maxTokens: 5 },
} as RewardContext

describe('a classifier', () => {
  test('scores the text of every prefix as separate passes do, whatever is padded beside it', async () => {
    const reward = classifier({ model: at('three.onnx'), tokenizer: folder, label: 'POSITIVE' })
    const latents = [[4, 6, 8, 5], [5], [8, 4]]
    const { logReward, parts } = await reward.score(context, latents)
    expect(Object.keys(parts)).toEqual(['classifier'])
    for (const [n, latent] of latents.entries())
      for (let i = 0; i <= latent.length; i++) {
        const logits = naiveLogits([2, ...latent.slice(0, i), 3], 3)
        expect(Math.abs(logReward[n][i] - (logits[1] - logSumExp(logits)))).toBeLessThan(1e-5)
      }
    await reward.dispose()
  })

  test('with one output is a logistic function, for label 1 and against it for label 0', async () => {
    const [logit] = naiveLogits([2, 4, 3], 1)
    for (const [label, sign] of [
      [1, 1],
      [0, -1],
    ]) {
      const reward = classifier({ model: at('one.onnx'), tokenizer: folder, label })
      const { logReward } = await reward.score(context, [[4]])
      expect(logReward[0][1]).toBeCloseTo(-Math.log1p(Math.exp(-sign * logit)), 5)
      await reward.dispose()
    }
  })

  test('cuts what is too long but keeps its last token, and reads the text that it is given', async () => {
    const reward = classifier({
      model: at('three.onnx'),
      tokenizer: folder,
      label: 2,
      maxTokens: 4,
      text: (latent) => `Bad films ${latent}`,
    })
    const { logReward } = await reward.score(context, [[4]])
    const logits = naiveLogits([2, 5, 6, 3], 3)
    expect(logReward[0][1]).toBeCloseTo(logits[2] - logSumExp(logits), 5)
    await reward.dispose()
  })

  test.each<[string, string, number | string, RegExp]>([
    ['a file that is not there', 'none.onnx', 0, /none\.onnx: no such file; .* holds .*three\.onnx/],
    ['a file of another kind', 'damaged.onnx', 0, /damaged\.onnx: not an ONNX model/],
    [
      'a model that reads something else',
      'other.onnx',
      0,
      /it reads tokens, attention_mask; give a model of input_ids/,
    ],
    ['a model without logits', 'scores.onnx', 0, /it gives scores and no logits/],
    [
      'an unknown label',
      'three.onnx',
      'FINE',
      /config\.json: no label "FINE"; choose among NEGATIVE, POSITIVE, NEUTRAL/,
    ],
  ])('%s is refused before any work', async (_, file, label, message) => {
    const reward = classifier({ model: at(file), tokenizer: folder, label })
    await expect(reward.check?.(context)).rejects.toThrow(message)
  })

  test('a label beyond those that it tells apart is refused', async () => {
    const reward = classifier({ model: at('three.onnx'), tokenizer: folder, label: 3 })
    await expect(reward.score(context, [[4]])).rejects.toThrow(
      /label 3 is asked for, and it tells 3 apart; choose 0 to 2/,
    )
    await reward.dispose()
  })

  const real = fromRoot('../shared/models/all-MiniLM-L6-v2')
  const absent = !existsSync(real)
  test.skipIf(absent)(
    `a real model without labels is told apart${absent ? ': skipped, there is no ../shared/models' : ''}`,
    async () => {
      const reward = classifier({ model: join(real, 'onnx/model_quantized.onnx'), tokenizer: real, label: 0 })
      await expect(reward.check?.(context)).rejects.toThrow(/it gives last_hidden_state and no logits/)
    },
  )
})
