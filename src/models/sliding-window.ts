/**
 * @file Attention that sees only the last so many tokens. A sequence that fits into the window sees all of itself, so a
 * model with one is exact up to the window's length, and longer sequences are refused.
 */
import { z } from 'zod'

/** The keys of Qwen's config.json that say which layers slide. */
export const slidingConfig = {
  use_sliding_window: z.boolean().default(false),
  sliding_window: z.number().int().positive().nullable().default(4096),
  max_window_layers: z.number().int().nonnegative().default(28),
  layer_types: z.array(z.enum(['full_attention', 'sliding_attention'])).nullish(),
}

type SlidingConfig = z.infer<z.ZodObject<typeof slidingConfig>>

/** The window of the layers that have one; null where all see everything. */
export function windowOf(config: SlidingConfig, layers: number): number | null {
  const { use_sliding_window, sliding_window, max_window_layers, layer_types } = config
  const slides = layer_types ? layer_types.includes('sliding_attention') : layers > max_window_layers
  return use_sliding_window && slides ? sliding_window : null
}

/** The longest sequence that a window of attention leaves exact, and why it is shorter than the positions that there are. */
export const contextWithin = (
  positions: number,
  window: number | null,
): { contextLength: number; contextLimit?: string } =>
  window === null || window >= positions
    ? { contextLength: positions }
    : { contextLength: window, contextLimit: `its attention slides over ${window} tokens` }
