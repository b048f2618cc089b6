/**
 * @file Ancestral sampling of latents that share one prompt. Tokens are drawn inside the graph; rows that have ended leave the
 * batch. No log q is kept: the learn step computes it again, with its gradient.
 */
import type { LoraAdapter } from '../adapters/lora.ts'
import type { ModelDescription } from '../models/architecture.ts'
import type { Lane } from '../models/lane.ts'
import type { Draws } from '../random.ts'
import { float32, type HostTensor } from '../runtime/host-tensor.ts'
import { add, div, draw } from '../tensor/ops/index.ts'
import { type Readout, withDecoder } from './decoder.ts'
import { biasAfter, type Support } from './support.ts'

/** A model with or without an adapter, and the latents that it may produce. */
export type Sampler = { model: ModelDescription; adapter?: LoraAdapter; support: Support }

/**
 * Samples one latent for each temperature. Temperature 1 is the policy itself; logits are divided by others.
 * @param temperatures  [samples], above 0
 * @param draws one uniform number per token and sample is taken from it, so that equal draws give equal latents
 * @returns [samples] latents of support.minTokens to support.maxTokens tokens, without ⊤
 */
export async function sampleLatents(
  lane: Lane,
  { model, adapter, support }: Sampler,
  { prompt, temperatures, draws }: { prompt: readonly number[]; temperatures: readonly number[]; draws: Draws },
): Promise<number[][]> {
  const { vocabulary } = model.dimensions
  // One number for every place of every latent, drawn before anything runs: rows that end early shift no other row's.
  const uniforms = temperatures.map(() => Float64Array.from({ length: support.maxTokens }, () => draws.uniform()))
  const choice = (rows: readonly number[], prefix: number): Record<string, HostTensor> => ({
    bias: float32([vocabulary], biasAfter(support, prefix, vocabulary)),
    temperature: float32(
      [rows.length, 1],
      rows.map((row) => temperatures[row]),
    ),
    uniform: {
      dtype: 'float64',
      shape: [rows.length, 1],
      data: Float64Array.from(rows, (row) => uniforms[row][prefix]),
    },
  })

  const latents: number[][] = temperatures.map(() => [])
  let rows = temperatures.map((_, row) => row)
  /** Appends what was drawn; returns which of the rows go on. */
  const take = (tokens: ArrayLike<unknown>): number[] => {
    const drawn = Array.from(tokens, Number)
    const goesOn = drawn.flatMap((token, i) => (token === support.stop ? [] : [i]))
    for (const i of goesOn) latents[rows[i]].push(drawn[i])
    rows = goesOn.map((i) => rows[i])
    return goesOn
  }

  return withDecoder(lane, { model, adapter }, prompt, drawing, async (decoder) => {
    const { drawn } = await decoder.start(choice(rows, 0))
    let parents = take(drawn.data).map(() => 0) // every row continues the prompt
    for (let prefix = 1; prefix < support.maxTokens && rows.length > 0; prefix++) {
      const tokens = rows.map((row) => latents[row][prefix - 1])
      const { drawn } = await decoder.advance({ parents, tokens }, choice(rows, prefix))
      parents = take(drawn.data)
    }
    return latents
  })
}

/** One token per row. */
const drawing: Readout = {
  name: 'draw',
  inputs: (vocabulary) => ({
    bias: { dtype: 'float32', shape: [vocabulary] },
    temperature: { dtype: 'float32', shape: ['rows', 1] },
    uniform: { dtype: 'float64', shape: ['rows', 1] },
  }),
  outputs: (logits, { bias, temperature, uniform }) => ({
    drawn: draw(div(add(logits, bias), temperature), uniform),
  }),
}
