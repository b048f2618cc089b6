import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { bleu, gleu, wordsOf } from './overlap.ts'

/** Made with NLTK by test/golden/make-metrics.py. */
const { overlap } = JSON.parse(readFileSync(new URL('../../test/golden/metrics.json', import.meta.url), 'utf8')) as {
  overlap: { candidate: string[]; references: string[][]; bleu: number; gleu: number }[]
}

test('BLEU and GLEU are those of NLTK', () => {
  expect(overlap.length).toBeGreaterThan(40)
  for (const { candidate, references, ...wanted } of overlap) {
    expect(bleu(candidate, references), `bleu of ${candidate}`).toBeCloseTo(wanted.bleu, 12)
    expect(gleu(candidate, references), `gleu of ${candidate}`).toBeCloseTo(wanted.gleu, 12)
  }
})

test('a text scores 1 against itself if it is long enough, and 0 against other words', () => {
  const text = wordsOf('the dog ran home')
  expect([bleu(text, [text]), gleu(text, [text])]).toEqual([1, 1])
  expect([bleu(text, [['cats']]), gleu(text, [['cats']])]).toEqual([0, 0])
})

test('words are what spaces separate', () => {
  expect(wordsOf('  Tom,  who\tran. \n')).toEqual(['Tom,', 'who', 'ran.'])
  expect(wordsOf('')).toEqual([])
})
