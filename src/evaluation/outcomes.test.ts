import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { modelFolder } from '../../test/exact-posterior.ts'
import { type LanguageModel, loadLanguageModel } from '../models/language-model.ts'
import { seededRandom } from '../random.ts'
import { sampleLatents } from '../sampling/sample.ts'
import { tokenBias } from '../tokenizer/vocabulary.ts'
import { comparedWithUniform, outcomeDistribution, tokenisationsOf } from './outcomes.ts'

describe('a tokenizer of bytes and some pieces', () => {
  const pieces = ['1', '2', '3', '12', '23', '123', '.', '<s>', '\u00e9', '']
  const tokenizer = {
    vocabularySize: pieces.length,
    specialTokens: new Set([7]),
    bytesOf: (token: number) => Buffer.from(pieces[token]),
  }
  const support = { stop: 6, minTokens: 0, maxTokens: 3 }
  const cut = (texts: string[], limits: object = {}) => tokenisationsOf(tokenizer, { ...support, ...limits }, texts)

  test('spells a text in every way that its pieces allow', () => {
    const ways = cut(['123', '4', '\u00e9', ''])
    expect(new Set(ways.get('123')?.map(String))).toEqual(new Set(['0,1,2', '0,4', '3,2', '5']))
    expect(ways.get('4')).toEqual([])
    expect(ways.get('\u00e9')).toEqual([[8]])
    expect(ways.get('')).toEqual([[]])
  })

  test('keeps to the limits, the allowed tokens, and leaves \u22a4 and special tokens alone', () => {
    expect(cut(['123'], { maxTokens: 2 }).get('123')?.length).toBe(3)
    expect(cut(['123'], { minTokens: 3 }).get('123')).toEqual([[0, 1, 2]])
    expect(cut(['123'], { bias: tokenBias(10, { forbidden: [0, 5] }) }).get('123')).toEqual([[3, 2]])
    expect(cut(['1.', '<s>']).get('1.')).toEqual([])
    expect(cut(['1.', '<s>']).get('<s>')).toEqual([])
  })

  test('gives up on a text of too many spellings', () => {
    expect(() => cut(['1'.repeat(10) + '123'.repeat(30)], { maxTokens: 100 })).toThrow('too many tokenisations')
  })
})

test('the uniform distribution is at distance 0, and invalid mass counts in one direction', () => {
  const uniform = new Float64Array(4).fill(Math.log(1 / 4))
  expect(comparedWithUniform(uniform)).toEqual({ validMass: 1, klToUniform: 0, klFromUniform: 0 })
  const half = comparedWithUniform(uniform.map((value) => value - Math.log(2)))
  expect(half.validMass).toBeCloseTo(0.5, 12)
  expect(half.klToUniform).toBeCloseTo(0, 12)
  expect(half.klFromUniform).toBeCloseTo(Math.log(2), 12)
  const skewed = comparedWithUniform(Float64Array.from([0.5, 0.5, 0, 0], Math.log))
  expect(skewed.klToUniform).toBeCloseTo(Math.log(2), 12)
  expect(skewed.klFromUniform).toBe(Infinity)
})

describe('the embedded model', () => {
  let model: LanguageModel
  beforeAll(async () => {
    model = await loadLanguageModel(modelFolder, { threads: 2 })
  })
  afterAll(() => model.dispose())

  test('has the exact probabilities that its samples show', async () => {
    const { tokenizer, description } = model
    const words = ['t', 'o', 'to', ' ', ' t', ' to', 's', 'n']
    const allowed = words.map((word) => tokenizer.encodeContinuation(word)).map(([token]) => token)
    const support = {
      stop: tokenizer.encodeContinuation('.')[0],
      minTokens: 0,
      maxTokens: 2,
      bias: tokenBias(description.dimensions.vocabulary, { allowed }),
    }
    const prompt = tokenizer.encode('Tom went', { addSpecialTokens: true })
    const outcomes = [['to', ' to'], [' to to', 'to to'], [' to t', ' ts'], ['xyz']]
    const { logP, validMass } = await outcomeDistribution({ model, support }, prompt, outcomes)
    expect(tokenisationsOf(tokenizer, support, [' to']).get(' to')?.length).toBeGreaterThan(1)
    expect(logP[3]).toBe(-Infinity)

    const count = 4000
    const latents = await model.lanes.use((lane) =>
      sampleLatents(
        lane,
        { model: description, support },
        { prompt, temperatures: new Array(count).fill(1), draws: seededRandom(1).at('sample') },
      ),
    )
    const texts = latents.map((latent) => tokenizer.decodeContinuation(latent))
    for (const [k, forms] of outcomes.entries()) {
      const [p, frequency] = [Math.exp(logP[k]), texts.filter((text) => forms.includes(text)).length / count]
      expect(Math.abs(frequency - p)).toBeLessThanOrEqual(4 * Math.sqrt((p * (1 - p)) / count))
    }
    expect(validMass).toBeGreaterThan(0.02)
    expect(validMass).toBeLessThan(1)
  })

  test('a text that means two outcomes is refused', async () => {
    const support = { stop: 426, minTokens: 0, maxTokens: 2 }
    await expect(outcomeDistribution({ model, support }, [1], [['7'], [' 7', '7']])).rejects.toThrow(
      'the text "7" means two outcomes',
    )
  })
})
