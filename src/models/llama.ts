/** @file Llama (also TinyLlama, SmolLM2, Llama 3.x): the family's block as it is, with biases where the config has them. */
import { z } from 'zod'
import type { Architecture } from './architecture.ts'
import { ATTENTION, FEED_FORWARD, llamaConfig, llamaFamily } from './llama-family.ts'
import { parseModelConfig } from './model-config.ts'
import { withoutPrefix } from './modules.ts'

const config = z.looseObject({
  ...llamaConfig,
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
})

export const llama: Architecture = {
  modelType: 'llama',
  aliases: withoutPrefix('model.'),
  describe: (json, where) => {
    const c = parseModelConfig(config, json, where)
    const biased = [...(c.attention_bias ? ATTENTION : []), ...(c.mlp_bias ? FEED_FORWARD : [])]
    return llamaFamily(c, { modelType: 'llama', biased }, where)
  },
}
