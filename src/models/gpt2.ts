/** @file GPT-2: learned positions, layer norms and biases, fused query-key-value, weights stored [inputs, outputs] in checkpoints. */
import { z } from 'zod'
import { lastParts } from '../adapters/lora.ts'
import { add, checkpoint, layerNorm, mul, split } from '../tensor/ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { activationName, activations } from './activations.ts'
import type { Architecture, ConfigDescription } from './architecture.ts'
import { checkHeads, count, layerCount, parseModelConfig } from './model-config.ts'
import { layerNames, linearsOf, linearWeights, normWeights, withoutPrefix } from './modules.ts'

const config = z.looseObject({
  vocab_size: count,
  n_positions: count,
  n_embd: count,
  n_layer: layerCount,
  n_head: count,
  n_inner: count.nullish(),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  activation_function: activationName.default('gelu_new'),
  scale_attn_weights: z.boolean().default(true),
  scale_attn_by_inverse_layer_idx: z.boolean().default(false),
  add_cross_attention: z.literal(false).default(false),
  tie_word_embeddings: z.boolean().default(true),
})

export const gpt2: Architecture = { modelType: 'gpt2', aliases: withoutPrefix('transformer.'), describe }

function describe(json: unknown, where: string): ConfigDescription {
  const c = parseModelConfig(config, json, where)
  const width = c.n_embd
  const inner = c.n_inner ?? 4 * width
  const headWidth = width / c.n_head
  checkHeads({ width, heads: c.n_head, keyValueHeads: c.n_head, headWidth }, where)
  const layers = layerNames('transformer.h', c.n_layer)
  const sizes = {
    'attn.c_attn': [width, 3 * width],
    'attn.c_proj': [width, width],
    'mlp.c_fc': [width, inner],
    'mlp.c_proj': [inner, width],
  } as const
  const linears = linearsOf(layers, sizes, { inputsFirst: true })
  const norms = [...layers.flatMap((layer) => [`${layer}.ln_1`, `${layer}.ln_2`]), 'transformer.ln_f']
  const head = c.tie_word_embeddings ? 'transformer.wte.weight' : 'lm_head.weight'

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
      ...linearWeights(linears, () => true),
      ...normWeights(norms, width, ['weight', 'bias']),
      [head]: [c.vocab_size, width],
    },
    linears,
    defaultTargets: lastParts(linears),
    head,
    hiddenStates: ({ tokens, positions, weight, embed, linear, attend }) => {
      const activate = activations[c.activation_function]
      const norm = (x: Tensor, name: string) =>
        layerNorm(x, weight(`${name}.weight`), weight(`${name}.bias`), c.layer_norm_epsilon)
      /** How much steeper than by 1/√headWidth a layer's attention is. */
      const steepness = (layer: number) =>
        (c.scale_attn_weights ? 1 : Math.sqrt(headWidth)) / (c.scale_attn_by_inverse_layer_idx ? layer + 1 : 1)

      let x = add(embed('transformer.wte.weight', tokens), embed('transformer.wpe.weight', positions))
      for (const [i, layer] of layers.entries()) {
        x = checkpoint(x, 'layer')
        const fused = linear(`${layer}.attn.c_attn`, norm(x, `${layer}.ln_1`))
        const [query, key, value] = split(fused, [width, width, width], 1)
        const scaled = steepness(i) === 1 ? query : mul(query, steepness(i))
        x = add(x, linear(`${layer}.attn.c_proj`, attend(i, scaled, key, value)))

        const opened = activate(linear(`${layer}.mlp.c_fc`, norm(x, `${layer}.ln_2`)))
        x = add(x, linear(`${layer}.mlp.c_proj`, opened))
      }
      return norm(x, 'transformer.ln_f')
    },
  }
}
