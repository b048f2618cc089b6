/** @file Texts on which an export is compared with the policy: what the policy says of each of their tokens. */
import { loadWeights } from '../models/language-model.ts'
import { scoreText } from '../models/score-text.ts'
import type { Policy } from './policy.ts'

/** Tokens of texts, each beginning with what the model expects before a text. */
export type Texts = readonly (readonly number[])[]

/** log p(token i | those before) of every token but the first of every text, nats, weights as float32. */
export async function scoreTexts(
  { path, description, adapter }: Policy,
  texts: Texts,
  threads?: number,
): Promise<number[][]> {
  const { lanes } = await loadWeights(path, description, { threads })
  try {
    return await lanes.each(texts, (lane, tokens) => scoreText(lane, { model: description, adapter }, tokens))
  } finally {
    await lanes.dispose()
  }
}

/** The largest difference between two scores of the same texts, nats; infinite where one of them is no number. */
export function worstDifference(expected: readonly number[][], found: readonly number[][]): number {
  let worst = 0
  for (const [text, scores] of expected.entries())
    for (const [i, score] of scores.entries()) {
      const difference = Math.abs(score - found[text][i])
      worst = Math.max(worst, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference)
    }
  return worst
}
