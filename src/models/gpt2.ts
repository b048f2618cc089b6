/** @file GPT-2: learned positions, layer norms and biases, fused query-key-value, weights stored [inputs, outputs]. */
import { z } from 'zod'
import { add, checkpoint, geluTanh, layerNorm, split } from '../tensor/ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Architecture, ConfigDescription } from './architecture.ts'
import { checkHeads, parseModelConfig } from './model-config.ts'

const config = z.looseObject({
  vocab_size: z.number().int().positive(),
  n_positions: z.number().int().positive(),
  n_embd: z.number().int().positive(),
  n_layer: z.number().int().positive(),
  n_head: z.number().int().positive(),
  n_inner: z.number().int().positive().nullish(),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  activation_function: z.literal('gelu_new').default('gelu_new'),
  scale_attn_weights: z.literal(true).default(true),
  scale_attn_by_inverse_layer_idx: z.literal(false).default(false),
  tie_word_embeddings: z.literal(true).default(true),
})

export const gpt2: Architecture = { modelType: 'gpt2', optionalPrefix: 'transformer.', describe }

function describe(json: unknown, where: string): ConfigDescription {
  const c = parseModelConfig(config, json, where)
  const width = c.n_embd
  const inner = c.n_inner ?? 4 * width
  const headWidth = width / c.n_head
  checkHeads({ width, heads: c.n_head, keyValueHeads: c.n_head, headWidth }, where)
  const layers = Array.from({ length: c.n_layer }, (_, i) => `transformer.h.${i}`)

  const linears = layers.flatMap((layer) =>
    Object.entries({
      'attn.c_attn': [width, 3 * width],
      'attn.c_proj': [width, width],
      'mlp.c_fc': [width, inner],
      'mlp.c_proj': [inner, width],
    }).map(([name, [inputs, outputs]]) => ({ module: `${layer}.${name}`, inputs, outputs, inputsFirst: true })),
  )
  const norms = [...layers.flatMap((layer) => [`${layer}.ln_1`, `${layer}.ln_2`]), 'transformer.ln_f']
  return {
    modelType: 'gpt2',
    dimensions: {
      layers: layers.length,
      width,
      heads: c.n_head,
      keyValueHeads: c.n_head,
      headWidth,
      vocabulary: c.vocab_size,
      contextLength: c.n_positions,
    },
    weights: {
      'transformer.wte.weight': [c.vocab_size, width],
      'transformer.wpe.weight': [c.n_positions, width],
      ...Object.fromEntries(linears.map(({ module, inputs, outputs }) => [`${module}.weight`, [inputs, outputs]])),
      ...Object.fromEntries(linears.map(({ module, outputs }) => [`${module}.bias`, [outputs]])),
      ...Object.fromEntries(norms.flatMap((norm) => ['weight', 'bias'].map((part) => [`${norm}.${part}`, [width]]))),
    },
    tables: {},
    linears,
    defaultTargets: ['c_attn', 'c_proj', 'c_fc'],
    head: 'transformer.wte.weight',
    hiddenStates: ({ tokens, positions, weight, embed, linear, attend }) => {
      const norm = (x: Tensor, name: string) =>
        layerNorm(x, weight(`${name}.weight`), weight(`${name}.bias`), c.layer_norm_epsilon)

      let x = add(embed('transformer.wte.weight', tokens), embed('transformer.wpe.weight', positions))
      for (const [i, layer] of layers.entries()) {
        x = checkpoint(x, 'layer')
        const fused = linear(`${layer}.attn.c_attn`, norm(x, `${layer}.ln_1`))
        const [query, key, value] = split(fused, [width, width, width], 1)
        x = add(x, linear(`${layer}.attn.c_proj`, attend(i, query, key, value)))

        const opened = geluTanh(linear(`${layer}.mlp.c_fc`, norm(x, `${layer}.ln_2`)))
        x = add(x, linear(`${layer}.mlp.c_proj`, opened))
      }
      return norm(x, 'transformer.ln_f')
    },
  }
}
