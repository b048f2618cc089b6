/**
 * @file The distribution of the next token for many sequences that continue one prompt, which is all that decoding
 * and sampling methods see of a model. Sequences that are equal so far are computed once, and where ⊤ is forced nothing is.
 */
import type { Lane } from '../models/lane.ts'
import { float32 } from '../runtime/host-tensor.ts'
import { type Readout, withDecoder } from '../sampling/decoder.ts'
import type { Sampler } from '../sampling/sample.ts'
import { biasAfter, isForced } from '../sampling/support.ts'
import { add, logSoftmax } from '../tensor/ops/index.ts'

/** log q of every token after one sequence, ⊤ among them, nats; −∞ for what may not follow. [vocabulary] */
export type LogProbabilities = Float32Array

/** A sequence of the step before, by its place there, with one more token. */
export type Continuation = { parent: number; token: number }

export type NextTokens = {
  /** After the prompt, which every sequence of the first call to `after` continues, whatever its parent. */
  first: LogProbabilities
  /** After each of some sequences, all of which have one token more than those of the call before; equal ones share an array. */
  after(sequences: readonly Continuation[]): Promise<LogProbabilities[]>
}

/** Opens the distributions of a sampler after a prompt. @throws whatever `use` throws */
export async function withNextTokens<Result>(
  lane: Lane,
  { model, adapter, support }: Sampler,
  prompt: readonly number[],
  use: (next: NextTokens) => Promise<Result>,
): Promise<Result> {
  const { vocabulary } = model.dimensions
  const feeds = (prefix: number) => ({ bias: float32([vocabulary], biasAfter(support, prefix, vocabulary)) })
  const onlyStop = new Float32Array(vocabulary).fill(Number.NEGATIVE_INFINITY)
  onlyStop[support.stop] = 0

  return withDecoder(lane, { model, adapter }, prompt, logProbabilities, async (decoder) => {
    const { logQ } = await decoder.start(feeds(0))
    let prefix = 0
    let rowOf = (_sequence: number) => 0 // of each sequence of the step before: at first they all are the prompt
    return use({
      first: logQ.data as Float32Array,
      async after(sequences) {
        prefix++
        if (sequences.length === 0) return []
        if (isForced(support, prefix)) return sequences.map(() => onlyStop)
        const rows = new Map<string, { row: number; parent: number; token: number }>()
        const placed = sequences.map(({ parent, token }) => {
          const key = `${rowOf(parent)} ${token}`
          if (!rows.has(key)) rows.set(key, { row: rows.size, parent: rowOf(parent), token })
          return rows.get(key)!.row
        })
        rowOf = (sequence) => placed[sequence]
        const distinct = [...rows.values()]
        const step = { parents: distinct.map(({ parent }) => parent), tokens: distinct.map(({ token }) => token) }
        const values = (await decoder.advance(step, feeds(prefix))).logQ.data as Float32Array
        const views = distinct.map((_, row) => values.subarray(row * vocabulary, (row + 1) * vocabulary))
        return placed.map((row) => views[row])
      },
    })
  })
}

const logProbabilities: Readout = {
  name: 'log-probabilities',
  inputs: (vocabulary) => ({ bias: { dtype: 'float32', shape: [vocabulary] } }),
  outputs: (logits, { bias }) => ({ logQ: logSoftmax(add(logits, bias)) }),
}
