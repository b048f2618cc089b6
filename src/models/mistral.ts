/** @file Mistral: Llama's block; attention slides over a window where the config sets one. */
import { z } from 'zod'
import type { Architecture } from './architecture.ts'
import { llamaConfig, llamaFamily } from './llama-family.ts'
import { count, parseModelConfig } from './model-config.ts'
import { withoutPrefix } from './modules.ts'

const config = z.looseObject({ ...llamaConfig, sliding_window: count.nullable().default(4096) })

export const mistral: Architecture = {
  modelType: 'mistral',
  aliases: withoutPrefix('model.'),
  describe: (json, where) => {
    const c = parseModelConfig(config, json, where)
    return llamaFamily(c, { modelType: 'mistral', window: c.sliding_window }, where)
  },
}
