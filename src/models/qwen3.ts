/** @file Qwen3: Llama's block with normalised queries and keys, and heads whose width is set apart from the model's. */
import { z } from 'zod'
import type { Architecture } from './architecture.ts'
import { ATTENTION, llamaConfig, llamaFamily } from './llama-family.ts'
import { count, parseModelConfig } from './model-config.ts'
import { withoutPrefix } from './modules.ts'
import { slidingConfig, windowOf } from './sliding-window.ts'

const config = z.looseObject({
  ...llamaConfig,
  ...slidingConfig,
  head_dim: count.default(128),
  attention_bias: z.boolean().default(false),
})

export const qwen3: Architecture = {
  modelType: 'qwen3',
  aliases: withoutPrefix('model.'),
  describe: (json, where) => {
    const c = parseModelConfig(config, json, where)
    const window = windowOf(c, c.num_hidden_layers)
    const biased = c.attention_bias ? ATTENTION : []
    return llamaFamily(c, { modelType: 'qwen3', biased, headNorms: true, window }, where)
  },
}
