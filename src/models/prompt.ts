/** @file Reading a prompt by itself: its keys and values in every layer, for whatever follows it, and its hidden states. */
import type { LoraAdapter, LoraConfig } from '../adapters/lora.ts'
import type { Program } from '../runtime/session.ts'
import { reshape, transpose } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import type { ModelDescription } from './architecture.ts'
import { packedForward } from './attention.ts'
import { promptCacheInputs } from './cache.ts'
import { weightInputs } from './frozen.ts'
import type { Lane } from './lane.ts'
import { adapterInputs, linearLayers } from './linear.ts'
import { vector } from './packing.ts'
import type { PromptRead } from './prompt-cache.ts'
import type { Observe } from './tape.ts'

/** What is known of a prompt that was read, as inputs of a program: its keys and values, and its hidden states [prompt, width]. */
export const promptReadInputs = ({ dimensions }: ModelDescription): Record<string, TensorType> => ({
  ...promptCacheInputs(dimensions),
  promptHidden: { dtype: 'float32', shape: ['prompt', dimensions.width] },
})

/** Works with a prompt that was read, now or before: the lane keeps what there is room for. */
export const withPrompt = <Result>(
  lane: Lane,
  { model, adapter }: { model: ModelDescription; adapter?: LoraAdapter },
  prompt: readonly number[],
  use: (read: PromptRead) => Promise<Result>,
): Promise<Result> =>
  lane.prompts.use(
    { prompt, adapter },
    async () => {
      const session = await lane.session(`prompt ${JSON.stringify(adapter?.config)}`, () =>
        promptProgram(model, adapter?.config),
      )
      const given = { tokens: vector(prompt), ...(adapter && (await lane.adapter(adapter))) }
      return (await session.run(given, Object.keys(promptReadInputs(model)))).kept
    },
    use,
  )

/** A prompt inside a graph: its keys and values in every layer, under the names of `promptCacheInputs`, and its hidden states. */
export function promptStates(
  model: ModelDescription,
  inputs: Record<string, Tensor>,
  tokens: Tensor,
  lora?: LoraConfig,
  observe?: Observe,
) {
  const { keyValueHeads, headWidth } = model.dimensions
  const cache: Record<string, Tensor> = {}
  const { attend, ...packed } = packedForward({ promptTokens: tokens }, model.dimensions)
  const hidden = model.hiddenStates({
    ...packed,
    ...linearLayers(model, inputs, lora, { observe }),
    attend: (layer, query, key, value) => {
      for (const [name, x] of Object.entries({ Key: key, Value: value }))
        cache[`prompt${name}.${layer}`] = transpose(reshape(x, ['prompt', keyValueHeads, headWidth]), [1, 0, 2])
      return attend(layer, query, key, value)
    },
  })
  return { cache, hidden }
}

export function promptProgram(model: ModelDescription, lora?: LoraConfig): Program {
  const types = {
    ...weightInputs(model),
    ...(lora && adapterInputs(model, lora)),
    tokens: { dtype: 'int64', shape: ['prompt'] } as TensorType,
  }
  return buildProgram('prompt', types, (inputs) => {
    const { cache, hidden } = promptStates(model, inputs, inputs.tokens, lora)
    return { promptHidden: hidden, ...cache }
  })
}
