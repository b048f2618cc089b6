/**
 * @file LoRA (Hu et al. 2021): a linear layer y = x·Wᵀ + b gets the correction scale · (x·Aᵀ)·Bᵀ, A [rank, inputs],
 * B [outputs, rank]. Only A and B are trained. Names and scaling are PEFT's, so that adapters travel both ways.
 */
import type { Random } from '../random.ts'
import { float32, type NamedTensors } from '../runtime/host-tensor.ts'

/** What a LoRA adapter adapts: `targets` are the last parts of module names, as in PEFT's `target_modules`. */
export type LoraConfig = { rank: number; alpha: number; targets: readonly string[] }

/** An adapter: `weights` holds `<module>.lora_A.weight` [rank, inputs] and `<module>.lora_B.weight` [outputs, rank]. */
export type LoraAdapter = { config: LoraConfig; weights: NamedTensors }

/** A linear layer that LoRA can adapt. `inputsFirst` where the weight is stored [inputs, outputs] (GPT-2's Conv1D). */
export type LinearLayer = { module: string; inputs: number; outputs: number; inputsFirst: boolean }

/** PEFT's scale of the correction. */
export const loraScale = ({ rank, alpha }: LoraConfig) => alpha / rank

/** Does the config adapt this module? A target matches a module's whole name or its end after a dot, as in PEFT. */
export const isTarget = (config: LoraConfig, module: string) =>
  config.targets.some((target) => module === target || module.endsWith(`.${target}`))

/**
 * A fresh adapter: A uniform in ±1/√inputs (PEFT's Kaiming uniform with a = √5), B zero, so that it changes nothing yet.
 * Each matrix has its own address in `random`: adding a layer does not change the others.
 */
export function initialAdapter(config: LoraConfig, layers: readonly LinearLayer[], random: Random): LoraAdapter {
  const weights: NamedTensors = {}
  for (const { module, inputs, outputs } of layers.filter(({ module }) => isTarget(config, module))) {
    const draws = random.at('lora', module)
    const bound = 1 / Math.sqrt(inputs)
    const a = Float32Array.from({ length: config.rank * inputs }, () => (2 * draws.uniform() - 1) * bound)
    weights[`${module}.lora_A.weight`] = float32([config.rank, inputs], a)
    weights[`${module}.lora_B.weight`] = float32([outputs, config.rank])
  }
  return { config, weights }
}
