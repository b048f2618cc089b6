/**
 * @file The floating-point operations that a step asks for, whoever computes it: every token of the prompt, of the latents and of
 * the endings once through the layers, and logits wherever one of them is predicted. A multiplication and an addition are
 * two operations. In learning the gradients of what layers read cost as much again, of LoRA's own matrices and of attention
 * twice as much. Norms, activations and softmax count as nothing.
 *
 * The count is of tokens: what equal tokens, the one empty prefix and last tokens that nothing follows would save is not
 * taken off (about a tenth). Words that endings share count once.
 */
import { type LoraConfig, matrixShapes } from '../../src/adapters/lora.ts'
import type { ConfigDescription } from '../../src/models/architecture.ts'
import type { Step } from './workloads.ts'

/** Operations by phase. */
export type Work = { sample: number; reward: number; learn: number }

/** What a pass reads, and where it ends in a prediction; `context`: tokens attended to, summed over what is read. */
type Pass = { tokens: number; context: number; predictions: number }

export function countedWork(model: ConfigDescription, lora: LoraConfig, step: Step): Work {
  const policy = readTree(step.prompt.length, step.latents)
  const reference = readTree(step.demonstrations.length + step.prompt.length, step.latents)
  const { linear, adapter, attention, head } = partsOf(model, lora, policy)
  const reward = partsOf(model, lora, addEndings(reference, step))
  return {
    sample: linear + adapter + attention + head,
    reward: reward.linear + reward.attention + reward.head,
    learn: 2 * linear + 3 * adapter + 3 * attention + 2 * head,
  }
}

/** A prompt once and latents after it. */
function readTree(prompt: number, latents: Step['latents']): Pass {
  const after = latents.map(({ length }) => ({ length, context: sumTo(prompt + length) - sumTo(prompt) }))
  const tokens = after.reduce((sum, { length }) => sum + length, 0)
  const context = after.reduce((sum, { context }) => sum + context, 0)
  return { tokens: prompt + tokens, context: sumTo(prompt) + context, predictions: 1 + tokens }
}

/** The same with all endings after every state. */
function addEndings(pass: Pass, { prompt, demonstrations, states, endings }: Step): Pass {
  const depths = distinctPrefixes(endings)
  const before = demonstrations.length + prompt.length
  const branches = states.flat()
  const tokens = branches.length * depths.length
  const context = branches.reduce((sum, state) => sum + depths.reduce((c, depth) => c + before + state + depth, 0), 0)
  return { tokens: pass.tokens + tokens, context: pass.context + context, predictions: pass.predictions + tokens }
}

/** The lengths of all distinct prefixes of some sequences, but for the empty one. */
function distinctPrefixes(sequences: readonly (readonly number[])[]): number[] {
  const prefixes = sequences.flatMap((sequence) => sequence.map((_, i) => sequence.slice(0, i + 1).join(' ')))
  return [...new Set(prefixes)].map((prefix) => prefix.split(' ').length)
}

/** Operations of a forward pass by what they are spent on. */
function partsOf({ linears, dimensions }: ConfigDescription, lora: LoraConfig, { tokens, context, predictions }: Pass) {
  const { layers, heads, headWidth, width, vocabulary } = dimensions
  const weights = linears.reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0)
  const matrices = Object.values(matrixShapes(lora, linears)).reduce((sum, [rows, columns]) => sum + rows * columns, 0)
  return {
    linear: 2 * tokens * weights,
    adapter: 2 * tokens * matrices,
    attention: 4 * context * layers * heads * headWidth, // queries times keys, and weights times values
    head: 2 * predictions * width * vocabulary,
  }
}

const sumTo = (n: number) => (n * (n + 1)) / 2
