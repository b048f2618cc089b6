/** @file Rotary angles: how fast each pair of a head's elements turns, and the checkpoint's way of saying so. */
import { z } from 'zod'
import { float32, type NamedTensors } from '../runtime/host-tensor.ts'

const llama3 = {
  rope_type: z.literal('llama3'),
  factor: z.number().positive(),
  low_freq_factor: z.number().positive(),
  high_freq_factor: z.number().positive(),
  original_max_position_embeddings: z.number().int().positive(),
}
const scaling = z.discriminatedUnion(
  'rope_type',
  [
    z.looseObject({ rope_type: z.literal('default') }),
    z.looseObject({ rope_type: z.literal('linear'), factor: z.number().positive() }),
    z.looseObject(llama3),
  ],
  {
    error: ({ input }) =>
      `rotary scaling "${(input as { rope_type?: unknown }).rope_type}" is not supported; default, linear and llama3 are`,
  },
)

/** Older files say `rope_scaling` with `type`, newer ones `rope_parameters` with `rope_type`. */
const asWritten = z.preprocess((value) => {
  if (typeof value !== 'object' || value === null) return { rope_type: 'default' }
  const { type, ...rest } = value as Record<string, unknown>
  return { rope_type: type ?? 'default', ...rest }
}, scaling)

/** The keys of a config.json that say how positions turn. Other kinds of scaling are refused by name. */
export const rotaryConfig = {
  rope_theta: z.number().positive().optional(),
  rope_scaling: asWritten.optional(),
  rope_parameters: asWritten.optional(),
}

export type RotaryConfig = { [Key in keyof typeof rotaryConfig]?: z.infer<(typeof rotaryConfig)[Key]> }

const DEFAULT_THETA = 10_000

/** Radians per position for each pair of a head's elements, [headWidth / 2]. */
export function rotaryFrequencies(headWidth: number, config: RotaryConfig): number[] {
  const rule = config.rope_parameters ?? config.rope_scaling ?? { rope_type: 'default' as const }
  const theta = config.rope_theta ?? (rule as { rope_theta?: number }).rope_theta ?? DEFAULT_THETA
  const plain = Array.from({ length: headWidth / 2 }, (_, i) => theta ** ((-2 * i) / headWidth))
  if (rule.rope_type === 'linear') return plain.map((frequency) => frequency / rule.factor)
  if (rule.rope_type === 'default') return plain
  // llama3: slow turns are slowed by `factor`, fast ones kept, those between blended by how often they turn in the
  // context that the model was first trained on
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: trained } = rule
  return plain.map((frequency) => {
    const turns = (trained * frequency) / (2 * Math.PI)
    const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)))
    return kept * frequency + ((1 - kept) * frequency) / factor
  })
}

/** cos and sin of every position's angles, each [positions, headWidth / 2]. */
export function rotaryTables(frequencies: readonly number[], positions: number): NamedTensors {
  const table = (of: (angle: number) => number) => {
    const data = new Float32Array(positions * frequencies.length)
    for (let i = 0; i < data.length; i++)
      data[i] = of(Math.floor(i / frequencies.length) * frequencies[i % frequencies.length])
    return float32([positions, frequencies.length], data)
  }
  return { 'rotary.cos': table(Math.cos), 'rotary.sin': table(Math.sin) }
}
