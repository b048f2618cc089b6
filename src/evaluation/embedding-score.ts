/**
 * @file How much of one text's meaning is in another: every token is matched with its nearest token of the other text, by the
 * cosine of their vectors in context (BERTScore, Zhang et al. 2020). The encoder is a sentence encoder and its last layer, no
 * token counts more than others, and nothing is rescaled: compare scores of one encoder with each other only.
 */
import { mean } from '../sums.ts'

export type EmbeddingScore = { precision: number; recall: number; f1: number }

/**
 * @param candidate, reference  [tokens][width], of unit length (`SentenceEncoder.embedTokens`)
 * @returns mean similarity of the candidate's tokens to their nearest of the reference (precision), the other way round
 * (recall), and their harmonic mean; all 0 where either has no tokens
 */
export function embeddingScore(
  candidate: readonly ArrayLike<number>[],
  reference: readonly ArrayLike<number>[],
): EmbeddingScore {
  if (candidate.length === 0 || reference.length === 0) return { precision: 0, recall: 0, f1: 0 }
  const similarities = candidate.map((a) => reference.map((b) => dot(a, b)))
  const precision = mean(similarities.map((row) => Math.max(...row)))
  const recall = mean(reference.map((_, j) => Math.max(...similarities.map((row) => row[j]))))
  const f1 = precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall)
  return { precision, recall, f1 }
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}
