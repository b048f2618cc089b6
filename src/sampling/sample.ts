/**
 * @file Ancestral sampling of latents that share one prompt. The prompt runs once; its keys and values serve every row;
 * rows that have ended leave the batch. No log q is kept: the learn step computes it again, with its gradient.
 */
import type { LoraAdapter, LoraConfig } from '../adapters/lora.ts'
import type { ModelDescription } from '../models/architecture.ts'
import { packedForward } from '../models/attention.ts'
import { cachedAttention, promptCacheInputs, rowCacheInputs } from '../models/cache.ts'
import { headOf, logits } from '../models/head.ts'
import type { Lane } from '../models/lane.ts'
import { adapterInputs, linearLayers, weightInputs } from '../models/linear.ts'
import type { Draws } from '../random.ts'
import { float32, type HostTensor, int64 } from '../runtime/host-tensor.ts'
import type { Program, ResidentTensor } from '../runtime/session.ts'
import { add, div, draw, gather, reshape, transpose } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import { innerBias, isTerminable, type Support } from './support.ts'

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
  const { layers, vocabulary } = model.dimensions
  const lora = adapter?.config
  const matrices = adapter ? await lane.adapter(adapter) : {}
  const caches = (name: string) =>
    Array.from({ length: layers }, (_, i) => [`${name}Key.${i}`, `${name}Value.${i}`]).flat()

  // One number for every place of every latent, drawn before anything runs: rows that end early shift no other row's.
  const uniforms = temperatures.map(() => Float64Array.from({ length: support.maxTokens }, () => draws.uniform()))
  const choice = (rows: readonly number[], prefix: number): Record<string, HostTensor> => {
    const bias = innerBias(support, vocabulary)
    if (isTerminable(support, prefix)) bias[support.stop] = 0
    return {
      bias: float32([vocabulary], bias),
      temperature: float32(
        [rows.length, 1],
        rows.map((row) => temperatures[row]),
      ),
      uniform: {
        dtype: 'float64',
        shape: [rows.length, 1],
        data: Float64Array.from(rows, (row) => uniforms[row][prefix]),
      },
    }
  }

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

  const prefill = await lane.session(`prefill ${JSON.stringify(lora)}`, () => prefillProgram(model, lora))
  const first = await prefill.run(
    {
      ...matrices,
      promptTokens: int64([prompt.length], prompt),
      last: int64([1], [prompt.length - 1]),
      ...choice(rows, 0),
    },
    caches('prompt'),
  )
  let held: Record<string, ResidentTensor> = {}
  try {
    let keep = take(first.outputs.drawn.data)
    if (rows.length === 0 || support.maxTokens === 1) return latents
    const step = await lane.session(`decode ${JSON.stringify(lora)}`, () => decodeProgram(model, lora))
    let past: Record<string, HostTensor | ResidentTensor> = emptyCaches(model, caches('past'), latents.length)
    for (let prefix = 1; prefix < support.maxTokens && rows.length > 0; prefix++) {
      const { outputs, kept } = await step.run(
        {
          ...matrices,
          ...first.kept,
          ...past,
          keep: int64([keep.length], keep),
          tokens: int64(
            [rows.length],
            rows.map((row) => latents[row][prefix - 1]),
          ),
          positions: int64(
            [rows.length],
            rows.map(() => prompt.length + prefix - 1),
          ),
          ...choice(rows, prefix),
        },
        caches('next'),
      )
      await lane.runtime.release(Object.values(held))
      held = kept
      past = Object.fromEntries(Object.entries(kept).map(([name, value]) => [name.replace('next', 'past'), value]))
      keep = take(outputs.drawn.data)
    }
    return latents
  } finally {
    await lane.runtime.release([...Object.values(first.kept), ...Object.values(held)])
  }
}

const choiceInputs = (vocabulary: number): Record<string, TensorType> => ({
  bias: { dtype: 'float32', shape: [vocabulary] },
  temperature: { dtype: 'float32', shape: ['rows', 1] },
  uniform: { dtype: 'float64', shape: ['rows', 1] },
})

/** One token per row from logits [rows or 1, vocabulary]. */
const choose = (logits: Tensor, { bias, temperature, uniform }: Record<string, Tensor>): Tensor =>
  draw(div(add(logits, bias), temperature), uniform)

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
    return { ...outputs, drawn: choose(logits(gather(hidden, last), headOf(model, inputs)), inputs) }
  })
}

/** One more token for each row that goes on. */
function decodeProgram(model: ModelDescription, lora?: LoraConfig): Program {
  const { dimensions } = model
  const whole: TensorType = { dtype: 'int64', shape: ['rows'] }
  const types: Record<string, TensorType> = {
    ...weightInputs(model),
    ...(lora && adapterInputs(model, lora)),
    ...choiceInputs(dimensions.vocabulary),
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
    return { ...present, drawn: choose(logits(hidden, headOf(model, inputs)), inputs) }
  })
}

function emptyCaches({ dimensions: { keyValueHeads, headWidth } }: ModelDescription, names: string[], rows: number) {
  const empty = float32([keyValueHeads, rows, 0, headWidth])
  return Object.fromEntries(names.map((name) => [name, empty]))
}
