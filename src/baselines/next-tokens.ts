/**
 * @file The distribution of the next token for many latents that continue one prompt, which is all that decoding and sampling
 * methods see of a model. Methods choose tokens; what a tool adds to a choice is in the latent when they choose again, so
 * that latents of equally many choices are compared, however long they are. Latents that are equal so far are computed
 * once, and where ⊤ is forced nothing is.
 */
import type { Lane } from '../models/lane.ts'
import { float32 } from '../runtime/host-tensor.ts'
import { type Readout, withDecoder } from '../sampling/decoder.ts'
import { emptyLatent, type Latent } from '../sampling/latent.ts'
import type { Sampler } from '../sampling/sample.ts'
import { biasAfter, isForced } from '../sampling/support.ts'
import { withAction } from '../sampling/with-action.ts'
import { add, logSoftmax } from '../tensor/ops/index.ts'

/** log q of every token after one latent, ⊤ among them, nats; −∞ for what may not follow. [vocabulary] */
export type LogProbabilities = Float32Array

/** A latent so far, and what may follow it. */
export type State = { latent: Latent; next: LogProbabilities }

/** A state of the step before, by its place there, with one more token that was chosen. */
export type Continuation = { parent: number; token: number }

export type NextTokens = {
  /** The empty latent, which every continuation of the first call to `after` continues, whatever its parent. */
  first: State
  /** The states after some continuations, all of which have one choice more than those of the call before; equal ones are shared. */
  after(continuations: readonly Continuation[]): Promise<State[]>
}

/** Opens the distributions of a sampler after a prompt. @throws whatever `use` throws */
export async function withNextTokens<Result>(
  lane: Lane,
  { model, adapter, support, tool, int8 }: Sampler,
  prompt: readonly number[],
  use: (next: NextTokens) => Promise<Result>,
): Promise<Result> {
  const { vocabulary, contextLength } = model.dimensions
  const limits = { support, tool, room: contextLength - prompt.length }
  const feeds = (actions: number) => ({ bias: float32([vocabulary], biasAfter(support, actions, vocabulary)) })
  const onlyStop = new Float32Array(vocabulary).fill(Number.NEGATIVE_INFINITY)
  onlyStop[support.stop] = 0

  const ragged = tool !== undefined
  return withDecoder(lane, { model, adapter, int8, ragged }, prompt, logProbabilities, async (decoder) => {
    const { logQ } = await decoder.start(feeds(0))
    let actions = 0
    let latents = [emptyLatent] // of each row
    let rowOf = (_state: number) => 0 // of each state of the step before: at first they all are the prompt
    return use({
      first: { latent: emptyLatent, next: logQ.data as Float32Array },
      async after(continuations) {
        actions++
        if (continuations.length === 0) return []
        const rows = new Map<string, { row: number; parent: number; token: number }>()
        const placed = continuations.map(({ parent, token }) => {
          const key = `${rowOf(parent)} ${token}`
          if (!rows.has(key)) rows.set(key, { row: rows.size, parent: rowOf(parent), token })
          return rows.get(key)!.row
        })
        rowOf = (state) => placed[state]
        const distinct = [...rows.values()]
        const before = distinct.map(({ parent }) => latents[parent])
        latents = await Promise.all(distinct.map(({ token }, row) => withAction(before[row], token, limits)))
        const step = {
          parents: distinct.map(({ parent }) => parent),
          tokens: latents.map(({ tokens }, row) => tokens.slice(before[row].tokens.length)),
        }
        const values = isForced(support, actions) ? undefined : (await decoder.advance(step, feeds(actions))).logQ.data
        const states = latents.map((latent, row): State => {
          const place = [row * vocabulary, (row + 1) * vocabulary]
          return { latent, next: values ? (values as Float32Array).subarray(...place) : onlyStop }
        })
        return placed.map((row) => states[row])
      },
    })
  })
}

const logProbabilities: Readout = {
  name: 'log-probabilities',
  inputs: (vocabulary) => ({ bias: { dtype: 'float32', shape: [vocabulary] } }),
  outputs: (logits, { bias }) => ({ logQ: logSoftmax(add(logits, bias)) }),
}
