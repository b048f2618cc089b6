/**
 * @file Ancestral sampling of latents that share one prompt. The prompt runs once; its keys and values serve every row;
 * rows that have ended leave the batch. No log q is kept: the learn step computes it again, with its gradient.
 */
import type { LoraAdapter, LoraConfig } from '../adapters/lora.ts'
import type { ModelDescription } from '../models/architecture.ts'
import { packedForward } from '../models/attention.ts'
import { cachedAttention, promptCacheInputs, rowCacheInputs } from '../models/cache.ts'
import type { Lane } from '../models/lane.ts'
import { adapterInputs, linearLayers, weightInputs } from '../models/linear.ts'
import type { Draws } from '../random.ts'
import { float32, type HostTensor, int64 } from '../runtime/host-tensor.ts'
import type { Program, ResidentTensor } from '../runtime/session.ts'
import { add, div, draw, gather, matmul, reshape, transpose } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import { growLatents } from './growth.ts'
import { innerBias, isTerminable, type Support } from './support.ts'
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
  const { layers, vocabulary, contextLength } = model.dimensions
  const lora = adapter?.config
  const matrices = adapter ? await lane.adapter(adapter) : {}
  const caches = (name: string) =>
    Array.from({ length: layers }, (_, i) => [`${name}Key.${i}`, `${name}Value.${i}`]).flat()

  const growth = growLatents(temperatures.length, { support, tool, room: contextLength - prompt.length })
  // Rows have unequal numbers of actions only with a tool, and only before the minimum length does that matter here.
  const byRow = tool !== undefined && support.minTokens > 0

  // One number for every action of every latent, drawn before anything runs: rows that end early shift no other row's.
  const uniforms = temperatures.map(() => Float64Array.from({ length: support.maxTokens }, () => draws.uniform()))
  const choice = (byRow: boolean): Record<string, HostTensor> => {
    const { rows } = growth
    const actions = growth.actions()
    return {
      bias: byRow
        ? rowBiases(support, vocabulary, actions)
        : float32([vocabulary], biasAfter(support, vocabulary, actions[0])),
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

  const prefill = await lane.session(`prefill ${JSON.stringify(lora)}`, () => prefillProgram(model, lora))
  const first = await prefill.run(
    {
      ...matrices,
      promptTokens: int64([prompt.length], prompt),
      last: int64([1], [prompt.length - 1]),
      ...choice(false),
    },
    caches('prompt'),
  )
  let held: Record<string, ResidentTensor> = {}
  try {
    let keep = await growth.take(first.outputs.drawn.data, 0)
    if (growth.rows.length === 0) return [...growth.latents]
    const key = `decode ${JSON.stringify(byRow ? [lora, byRow] : lora)}`
    const step = await lane.session(key, () => decodeProgram(model, byRow, lora))
    let past: Record<string, HostTensor | ResidentTensor> = emptyCaches(model, caches('past'), temperatures.length)
    for (let fed = 1; growth.rows.length > 0; fed++) {
      const { rows, latents } = growth
      const { outputs, kept } = await step.run(
        {
          ...matrices,
          ...first.kept,
          ...past,
          keep: int64([keep.length], keep),
          tokens: int64(
            [rows.length],
            rows.map((row) => latents[row].tokens[fed - 1]),
          ),
          positions: int64(
            [rows.length],
            rows.map(() => prompt.length + fed - 1),
          ),
          ...choice(byRow),
        },
        caches('next'),
      )
      await lane.runtime.release(Object.values(held))
      held = kept
      past = Object.fromEntries(Object.entries(kept).map(([name, value]) => [name.replace('next', 'past'), value]))
      keep = await growth.take(outputs.drawn.data, fed)
    }
    return [...growth.latents]
  } finally {
    await lane.runtime.release([...Object.values(first.kept), ...Object.values(held)])
  }
}

/** What is added to logits where the policy has chosen so many tokens: −∞ for what it may not choose. [vocabulary] */
function biasAfter(support: Support, vocabulary: number, actions: number): Float32Array {
  const bias = innerBias(support, vocabulary)
  if (isTerminable(support, actions)) bias[support.stop] = 0
  return bias
}

/** The same for rows that have chosen unequal numbers of tokens, [rows, vocabulary]. */
function rowBiases(support: Support, vocabulary: number, actions: readonly number[]): HostTensor {
  const biases = float32([actions.length, vocabulary])
  for (const [i, chosen] of actions.entries())
    (biases.data as Float32Array).set(biasAfter(support, vocabulary, chosen), i * vocabulary)
  return biases
}

const choiceInputs = (vocabulary: number, byRow = false): Record<string, TensorType> => ({
  bias: { dtype: 'float32', shape: byRow ? ['rows', vocabulary] : [vocabulary] },
  temperature: { dtype: 'float32', shape: ['rows', 1] },
  uniform: { dtype: 'float64', shape: ['rows', 1] },
})

/** One token per row from logits [rows or 1, vocabulary]. */
const choose = (logits: Tensor, { bias, temperature, uniform }: Record<string, Tensor>): Tensor =>
  draw(div(add(logits, bias), temperature), uniform)

const logitsOf = (hidden: Tensor, head: Tensor): Tensor => matmul(hidden, head, { transposeB: true })

/** The prompt's keys and values in every layer, and the first token of every row. */
function prefillProgram(model: ModelDescription, lora?: LoraConfig): Program {
  const { keyValueHeads, headWidth, vocabulary } = model.dimensions
  const types: Record<string, TensorType> = {
    ...weightInputs(model),
    ...(lora && adapterInputs(model, lora)),
    ...choiceInputs(vocabulary),
    promptTokens: { dtype: 'int64', shape: ['prompt'] },
    last: { dtype: 'int64', shape: [1] },
  }
  return buildProgram('prefill', types, (inputs) => {
    const outputs: Record<string, Tensor> = {}
    const { promptTokens, last } = inputs
    const { attend, ...tokens } = packedForward({ promptTokens }, model.dimensions)
    const hidden = model.hiddenStates({
      ...tokens,
      ...linearLayers(model, inputs, lora),
      attend: (layer, query, key, value) => {
        for (const [name, x] of Object.entries({ Key: key, Value: value }))
          outputs[`prompt${name}.${layer}`] = transpose(reshape(x, ['prompt', keyValueHeads, headWidth]), [1, 0, 2])
        return attend(layer, query, key, value)
      },
    })
    return { ...outputs, drawn: choose(logitsOf(gather(hidden, last), inputs[model.head]), inputs) }
  })
}

/** One more token for each row that goes on; `byRow`: each with its own bias. */
function decodeProgram(model: ModelDescription, byRow: boolean, lora?: LoraConfig): Program {
  const { dimensions } = model
  const whole: TensorType = { dtype: 'int64', shape: ['rows'] }
  const types: Record<string, TensorType> = {
    ...weightInputs(model),
    ...(lora && adapterInputs(model, lora)),
    ...choiceInputs(dimensions.vocabulary, byRow),
    ...promptCacheInputs(dimensions),
    ...rowCacheInputs(dimensions),
    tokens: whole,
    positions: whole,
    keep: whole,
  }
  return buildProgram('decode', types, (inputs) => {
    const present: Record<string, Tensor> = {}
    const hidden = model.hiddenStates({
      tokens: inputs.tokens,
      positions: inputs.positions,
      ...linearLayers(model, inputs, lora),
      attend: cachedAttention(inputs, dimensions, inputs.keep, present),
    })
    return { ...present, drawn: choose(logitsOf(hidden, inputs[model.head]), inputs) }
  })
}

function emptyCaches({ dimensions: { keyValueHeads, headWidth } }: ModelDescription, names: string[], rows: number) {
  const empty = float32([keyValueHeads, rows, 0, headWidth])
  return Object.fromEntries(names.map((name) => [name, empty]))
}
