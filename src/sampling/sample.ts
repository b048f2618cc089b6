/**
 * @file Ancestral sampling of latents that share one prompt. Tokens are drawn inside the graph; rows that have ended leave the
 * batch. No log q is kept: the learn step computes it again, with its gradient.
 */
import type { LoraAdapter } from '../adapters/lora.ts'
import { distinct } from '../distinct.ts'
import type { ModelDescription } from '../models/architecture.ts'
import type { Lane } from '../models/lane.ts'
import { vector } from '../models/packing.ts'
import type { Tape } from '../models/tape.ts'
import type { Draws } from '../random.ts'
import { float32, type HostTensor } from '../runtime/host-tensor.ts'
import { add, div, draw } from '../tensor/ops/index.ts'
import { type Readout, withDecoder } from './decoder.ts'
import { emptyLatent, type Latent } from './latent.ts'
import { biasAfter, isForced, type Support } from './support.ts'
import type { BoundTool } from './tools.ts'
import { withAction } from './with-action.ts'

/** A model with or without an adapter, the latents that it may produce, and the tool that adds to them, if there is one. */
export type Sampler = {
  model: ModelDescription
  adapter?: LoraAdapter
  support: Support
  tool?: BoundTool
  /** Draws from a distribution near the policy, by an int8 copy of the frozen weights: for whoever learns from samples of any source. */
  int8?: boolean
}

/**
 * A latent for each temperature, above 0. Temperature 1 is the policy itself; logits are divided by others. One uniform
 * number per action and sample is taken from `draws`, so that equal draws give equal latents.
 */
export type Sampling = {
  prompt: readonly number[]
  temperatures: readonly number[]
  draws: Draws
  /** [samples][at least one], tokens that stand between the prompt and each latent; default: none. */
  beginnings?: readonly (readonly number[])[]
  /** Of the sampler's adapter: what the policy computes goes there, for who learns from the latents. */
  tape?: Tape
}

/** Samples latents of support.minTokens to support.maxTokens tokens, without ⊤, in the order of the temperatures. */
export async function sampleLatents(
  lane: Lane,
  sampler: Sampler & { tool?: undefined },
  sampling: Sampling,
): Promise<number[][]> {
  return (await sampleWithTool(lane, sampler, sampling)).map(({ tokens }) => [...tokens])
}

/**
 * The same where a tool, if there is one, adds to what is drawn. The limits of the support count what the policy
 * chooses. An insertion that would leave too little of the context for the rest of the latent is left out.
 */
export async function sampleWithTool(
  lane: Lane,
  { model, adapter, support, tool, int8 }: Sampler,
  { prompt, temperatures, draws, beginnings, tape }: Sampling,
): Promise<Latent[]> {
  const { vocabulary, contextLength } = model.dimensions
  const before = prompt.length + Math.max(0, ...(beginnings ?? []).map(({ length }) => length))
  const limits = { support, tool, room: contextLength - before }
  const latents = temperatures.map(() => emptyLatent)
  let open = [...latents.keys()]

  // One number for every action of every latent, drawn before anything runs: rows that end early shift no other row's.
  const uniforms = temperatures.map(() => Float64Array.from({ length: support.maxTokens }, () => draws.uniform()))
  /** @param of  which of the temperatures, each of a row, each open latent is drawn at */
  const choice = (actions: number, at: readonly number[], of: readonly number[]): Record<string, HostTensor> => ({
    bias: float32([vocabulary], biasAfter(support, actions, vocabulary)),
    temperature: float32([at.length, 1], at),
    of: vector(of),
    uniform: {
      dtype: 'float64',
      shape: [open.length, 1],
      data: Float64Array.from(open, (sample) => uniforms[sample][actions]),
    },
  })

  const ragged = tool !== undefined || beginnings !== undefined
  return withDecoder(lane, { model, adapter, int8, ragged, tape }, prompt, drawing, async (decoder) => {
    let rowOf = open.map(() => 0) // of each open latent: at first they all are the prompt
    /** What the open latents are drawn from: rows at temperatures, each once. */
    const distributions = () => {
      const { values, idOf } = distinct<{ row: number; temperature: number }>()
      const of = open.map((sample, place) => idOf({ row: rowOf[place], temperature: temperatures[sample] }))
      return { readers: values.map(({ row }) => row), at: values.map(({ temperature }) => temperature), of }
    }
    const { at, of } = distributions()
    let { drawn } = await decoder.start(choice(0, at, of), {
      goesOn: beginnings !== undefined || support.maxTokens > 1,
    })
    const advance = async (continuations: readonly Continuation[], actions: number) => {
      const { values, idOf } = distinct<Continuation>() // latents that are equal so far are one row
      rowOf = continuations.map(idOf)
      const { readers, at, of } = distributions()
      const rows = { parents: values.map(({ parent }) => parent), tokens: values.map(({ tokens }) => tokens) }
      ;({ drawn } = await decoder.advance({ ...rows, readers }, choice(actions, at, of)))
    }
    if (beginnings)
      await advance(
        beginnings.map((tokens) => ({ parent: 0, tokens })),
        0,
      )
    for (let actions = 1; ; actions++) {
      const chosen = open.map((sample, place) => ({ sample, parent: rowOf[place], action: Number(drawn.data[place]) }))
      const goesOn = chosen.filter(({ action }) => action !== support.stop)
      const continuations = await Promise.all(
        goesOn.map(async ({ sample, parent, action }) => {
          const before = latents[sample]
          latents[sample] = await withAction(before, action, limits)
          return { parent, tokens: latents[sample].tokens.slice(before.tokens.length) }
        }),
      )
      if (goesOn.length === 0 || isForced(support, actions)) return latents
      open = goesOn.map(({ sample }) => sample)
      await advance(continuations, actions)
    }
  })
}

/** More tokens after a row of the step before. */
type Continuation = { parent: number; tokens: readonly number[] }

/** A token for each latent. */
const drawing: Readout = {
  name: 'draw',
  inputs: (vocabulary) => ({
    bias: { dtype: 'float32', shape: [vocabulary] },
    temperature: { dtype: 'float32', shape: ['readers', 1] },
    of: { dtype: 'int64', shape: ['draws'] },
    uniform: { dtype: 'float64', shape: ['draws', 1] },
  }),
  outputs: (logits, { bias, temperature, of, uniform }) => ({
    drawn: draw(div(add(logits, bias), temperature), uniform, of),
  }),
}
