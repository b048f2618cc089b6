/**
 * @file Log-probabilities from an exported decoder, by way of all that its users rely on: texts of different lengths side
 * by side, padded on the left; a first call without a cache and a second one that goes on from its keys and values.
 */
import type { Texts } from './held-out.ts'

/** Rows of equal length. `mask` covers what was fed before and now; 0 marks padding. */
export type DecoderInput<Cache> = { tokens: readonly number[][]; mask: readonly number[][]; cache?: Cache }

/** Software that runs an exported decoder. */
export type OnnxReader<Cache = unknown> = {
  name: string
  /** logits [rows · length · vocabulary], and the keys and values of all tokens so far */
  forward(input: DecoderInput<Cache>): Promise<{ logits: Float32Array; cache: Cache }>
  dispose(): Promise<void>
}

const ROWS = 2 // enough to pad one

/** log p(token i | those before) of every token but the first of every text, nats. */
export async function readerLogProbabilities(
  reader: OnnxReader,
  texts: Texts,
  vocabulary: number,
): Promise<number[][]> {
  const found: number[][] = []
  for (let from = 0; from < texts.length; from += ROWS)
    found.push(...(await scoreRows(reader, texts.slice(from, from + ROWS), vocabulary)))
  return found
}

async function scoreRows(reader: OnnxReader, texts: Texts, vocabulary: number): Promise<number[][]> {
  const length = Math.max(...texts.map((text) => text.length))
  const pads = texts.map((text) => length - text.length)
  const rows = texts.map((text, row) => [...new Array<number>(pads[row]).fill(0), ...text])
  const masks = texts.map((_, row) => Array.from({ length }, (_, i) => Number(i >= pads[row])))
  const scores: number[][] = texts.map(() => [])
  const parts = [0, Math.ceil(length / 2), length]
  let cache: unknown
  for (let part = 0; part + 1 < parts.length; part++) {
    const [begin, end] = [parts[part], parts[part + 1]]
    if (begin === end) continue
    const tokens = rows.map((row) => row.slice(begin, end))
    const result = await reader.forward({ tokens, mask: masks.map((mask) => mask.slice(0, end)), cache })
    cache = result.cache
    for (const [row, text] of rows.entries())
      for (let i = Math.max(begin, pads[row]); i < Math.min(end, length - 1); i++) {
        const first = (row * (end - begin) + i - begin) * vocabulary
        scores[row].push(logProbability(result.logits.subarray(first, first + vocabulary), text[i + 1]))
      }
  }
  return scores
}

/** log softmax of one token, summed in double precision. */
function logProbability(logits: Float32Array, token: number): number {
  let largest = Number.NEGATIVE_INFINITY
  for (const logit of logits) largest = Math.max(largest, logit)
  let sum = 0
  for (const logit of logits) sum += Math.exp(logit - largest)
  return logits[token] - largest - Math.log(sum)
}
