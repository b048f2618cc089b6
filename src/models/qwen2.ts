/** @file Qwen2 and Qwen2.5: Llama's block with biases of queries, keys and values. */
import { z } from 'zod'
import type { Architecture } from './architecture.ts'
import { llamaConfig, llamaFamily } from './llama-family.ts'
import { parseModelConfig } from './model-config.ts'
import { withoutPrefix } from './modules.ts'
import { slidingConfig, windowOf } from './sliding-window.ts'

const config = z.looseObject({ ...llamaConfig, ...slidingConfig })

export const qwen2: Architecture = {
  modelType: 'qwen2',
  aliases: withoutPrefix('model.'),
  describe: (json, where) => {
    const c = parseModelConfig(config, json, where)
    const window = windowOf(c, c.num_hidden_layers)
    return llamaFamily(c, { modelType: 'qwen2', biased: ['q_proj', 'k_proj', 'v_proj'], window }, where)
  },
}
