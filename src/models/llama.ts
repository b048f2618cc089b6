/** @file Llama: root-mean-square norms, rotary positions, grouped heads, a gated feed-forward layer, no biases. */
import { z } from 'zod'
import { add, checkpoint, mul, rmsNorm, rotary, silu } from '../tensor/ops/index.ts'
import type { Architecture, ConfigDescription } from './architecture.ts'
import { checkHeads, parseModelConfig } from './model-config.ts'
import { rotaryConfig, rotaryFrequencies, rotaryTables } from './rotary.ts'

const config = z.looseObject({
  vocab_size: z.number().int().positive(),
  hidden_size: z.number().int().positive(),
  intermediate_size: z.number().int().positive(),
  num_hidden_layers: z.number().int().positive(),
  num_attention_heads: z.number().int().positive(),
  num_key_value_heads: z.number().int().positive().optional(),
  head_dim: z.number().int().positive().nullish(),
  max_position_embeddings: z.number().int().positive(),
  rms_norm_eps: z.number().positive().default(1e-6),
  tie_word_embeddings: z.boolean().default(false),
  hidden_act: z.literal('silu').default('silu'),
  attention_bias: z.literal(false).default(false),
  mlp_bias: z.literal(false).default(false),
  ...rotaryConfig,
})

export const llama: Architecture = { modelType: 'llama', describe }

function describe(json: unknown, where: string): ConfigDescription {
  const c = parseModelConfig(config, json, where)
  const heads = c.num_attention_heads
  const keyValueHeads = c.num_key_value_heads ?? heads
  const headWidth = c.head_dim ?? c.hidden_size / heads
  const [width, inner] = [c.hidden_size, c.intermediate_size]
  checkHeads({ width, heads, keyValueHeads, headWidth }, where)
  const layers = Array.from({ length: c.num_hidden_layers }, (_, i) => `model.layers.${i}`)

  const linears = layers.flatMap((layer) =>
    Object.entries({
      'self_attn.q_proj': [width, heads * headWidth],
      'self_attn.k_proj': [width, keyValueHeads * headWidth],
      'self_attn.v_proj': [width, keyValueHeads * headWidth],
      'self_attn.o_proj': [heads * headWidth, width],
      'mlp.gate_proj': [width, inner],
      'mlp.up_proj': [width, inner],
      'mlp.down_proj': [inner, width],
    }).map(([name, [inputs, outputs]]) => ({ module: `${layer}.${name}`, inputs, outputs, inputsFirst: false })),
  )
  const head = c.tie_word_embeddings ? 'model.embed_tokens.weight' : 'lm_head.weight'
  return {
    modelType: 'llama',
    dimensions: {
      layers: layers.length,
      width,
      heads,
      keyValueHeads,
      headWidth,
      vocabulary: c.vocab_size,
      contextLength: c.max_position_embeddings,
    },
    weights: {
      'model.embed_tokens.weight': [c.vocab_size, width],
      ...Object.fromEntries(linears.map(({ module, inputs, outputs }) => [`${module}.weight`, [outputs, inputs]])),
      ...Object.fromEntries(
        layers.flatMap((layer) =>
          ['input_layernorm', 'post_attention_layernorm'].map((norm) => [`${layer}.${norm}.weight`, [width]]),
        ),
      ),
      'model.norm.weight': [width],
      [head]: [c.vocab_size, width],
    },
    tables: rotaryTables(rotaryFrequencies(headWidth, c), c.max_position_embeddings),
    linears,
    defaultTargets: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
    head,
    hiddenStates: ({ tokens, positions, weight, embed, linear, attend }) => {
      const turn = (x: ReturnType<typeof add>, count: number) =>
        rotary(x, positions, weight('rotary.cos'), weight('rotary.sin'), count)
      const norm = (x: ReturnType<typeof add>, name: string) => rmsNorm(x, weight(`${name}.weight`), c.rms_norm_eps)

      let x = embed('model.embed_tokens.weight', tokens)
      for (const [i, layer] of layers.entries()) {
        x = checkpoint(x, 'layer')
        const attentionInput = norm(x, `${layer}.input_layernorm`)
        const query = turn(linear(`${layer}.self_attn.q_proj`, attentionInput), heads)
        const key = turn(linear(`${layer}.self_attn.k_proj`, attentionInput), keyValueHeads)
        const value = linear(`${layer}.self_attn.v_proj`, attentionInput)
        x = add(x, linear(`${layer}.self_attn.o_proj`, attend(i, query, key, value)))

        const feedInput = norm(x, `${layer}.post_attention_layernorm`)
        const gate = silu(linear(`${layer}.mlp.gate_proj`, feedInput))
        x = add(x, linear(`${layer}.mlp.down_proj`, mul(gate, linear(`${layer}.mlp.up_proj`, feedInput))))
      }
      return norm(x, 'model.norm')
    },
  }
}
