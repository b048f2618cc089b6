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
import { growLatents } from './growth.ts'
import { biasAfter, type Support } from './support.ts'
import type { BoundTool } from './tools.ts'

/** A model with or without an adapter, and the latents that it may produce. */
export type Sampler = { model: ModelDescription; adapter?: LoraAdapter; support: Support }

/**
 * A latent for each temperature, above 0. Temperature 1 is the policy itself; logits are divided by others. One uniform
 * number per action and sample is taken from `draws`, so that equal draws give equal latents.
 */
export type Sampling = { prompt: readonly number[]; temperatures: readonly number[]; draws: Draws }

/** Samples latents of support.minTokens to support.maxTokens tokens, without ⊤, in the order of the temperatures. */
export async function sampleLatents(lane: Lane, sampler: Sampler, sampling: Sampling): Promise<number[][]> {
  return (await sampleWithTool(lane, sampler, sampling)).map(({ tokens }) => tokens)
}

/**
 * The same where a tool, if there is one, adds to what is drawn. The limits of the support count what the policy
 * chooses. An insertion that would leave too little of the context for the rest of the latent is left out.
 */
export async function sampleWithTool(
  lane: Lane,
  { model, adapter, support, tool }: Sampler & { tool?: BoundTool },
  { prompt, temperatures, draws }: Sampling,
): Promise<{ tokens: number[]; inserted: number[] }[]> {
  const { vocabulary, contextLength } = model.dimensions
  const growth = growLatents(temperatures.length, { support, tool, room: contextLength - prompt.length })
  // Rows have unequal numbers of actions only with a tool, and only before the minimum length does that matter here.
  const byRow = tool !== undefined && support.minTokens > 0

  // One number for every action of every latent, drawn before anything runs: rows that end early shift no other row's.
  const uniforms = temperatures.map(() => Float64Array.from({ length: support.maxTokens }, () => draws.uniform()))
  const choice = (): Record<string, HostTensor> => {
    const { rows } = growth
    const actions = growth.actions()
    return {
      bias: byRow
        ? rowBiases(support, vocabulary, actions)
        : float32([vocabulary], biasAfter(support, actions[0], vocabulary)),
      temperature: float32(
        [rows.length, 1],
        rows.map((row) => temperatures[row]),
      ),
      uniform: {
        dtype: 'float64',
        shape: [rows.length, 1],
        data: Float64Array.from(rows, (row, i) => uniforms[row][actions[i]]),
      },
    }
  }

  return withDecoder(lane, { model, adapter }, prompt, byRow ? drawingByRow : drawing, async (decoder) => {
    const { drawn } = await decoder.start(choice())
    let parents = (await growth.take(drawn.data, 0)).map(() => 0) // every row continues the prompt
    for (let fed = 1; growth.rows.length > 0; fed++) {
      const tokens = growth.rows.map((row) => growth.latents[row].tokens[fed - 1])
      const { drawn } = await decoder.advance({ parents, tokens }, choice())
      parents = await growth.take(drawn.data, fed)
    }
    return [...growth.latents]
  })
}

/** The bias of rows that have chosen unequal numbers of tokens, [rows, vocabulary]. */
function rowBiases(support: Support, vocabulary: number, actions: readonly number[]): HostTensor {
  const biases = float32([actions.length, vocabulary])
  for (const [i, chosen] of actions.entries())
    (biases.data as Float32Array).set(biasAfter(support, chosen, vocabulary), i * vocabulary)
  return biases
}

/** One token per row; `byRow`: each row has its own bias. */
const drawingOf = (name: string, byRow: boolean): Readout => ({
  name,
  inputs: (vocabulary) => ({
    bias: { dtype: 'float32', shape: byRow ? ['rows', vocabulary] : [vocabulary] },
    temperature: { dtype: 'float32', shape: ['rows', 1] },
    uniform: { dtype: 'float64', shape: ['rows', 1] },
  }),
  outputs: (logits, { bias, temperature, uniform }) => ({
    drawn: draw(div(add(logits, bias), temperature), uniform),
  }),
})
const drawing = drawingOf('draw', false)
const drawingByRow = drawingOf('draw by row', true)
