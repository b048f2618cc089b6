/** @file What architectures are made of, said once: the linear layers and norms of every layer, their names and shapes. */
import type { LinearLayer } from '../adapters/lora.ts'

type Shapes = Record<string, readonly number[]>

/** "model.layers.0", "model.layers.1", … */
export const layerNames = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}.${i}`)

/** The linear layers of all layers, from their names within one and their [inputs, outputs]. */
export const linearsOf = (
  layers: readonly string[],
  sizes: Record<string, readonly [inputs: number, outputs: number]>,
  { inputsFirst = false } = {},
): LinearLayer[] =>
  layers.flatMap((layer) =>
    Object.entries(sizes).map(([name, [inputs, outputs]]) => ({
      module: `${layer}.${name}`,
      inputs,
      outputs,
      inputsFirst,
    })),
  )

/** Linear layers of all layers that read the same x, from their names within one. */
export const readersOf = (layers: readonly string[], groups: readonly (readonly string[])[]): string[][] =>
  layers.flatMap((layer) => groups.map((names) => within(layer, names)))

export const within = (layer: string, names: readonly string[]): string[] => names.map((name) => `${layer}.${name}`)

/** The weights of linear layers, and the biases of those that have one. */
export function linearWeights(linears: readonly LinearLayer[], isBiased: (module: string) => boolean): Shapes {
  const weights = linears.map(({ module, inputs, outputs }) => [`${module}.weight`, [outputs, inputs]])
  const biased = linears.filter(({ module }) => isBiased(module))
  return Object.fromEntries([...weights, ...biased.map(({ module, outputs }) => [`${module}.bias`, [outputs]])])
}

/** The vectors of norms: a weight each, and a bias where they are layer norms. */
export const normWeights = (names: readonly string[], width: number, parts: readonly string[]): Shapes =>
  Object.fromEntries(names.flatMap((name) => parts.map((part) => [`${name}.${part}`, [width]])))

/** The names of a checkpoint that was saved without the outer module ("transformer.h.0…" as "h.0…"). */
export const withoutPrefix =
  (prefix: string) =>
  (weight: string): readonly string[] =>
    weight.startsWith(prefix) ? [weight.slice(prefix.length)] : []
