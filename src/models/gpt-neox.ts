/**
 * @file GPT-NeoX (also Pythia): query, key and value fused head by head; rotary positions in part of each head; attention
 * and feed-forward side by side or one after the other.
 */
import { z } from 'zod'
import { lastParts } from '../adapters/lora.ts'
import { add, checkpoint, layerNorm, reshape, rotary, rotation, split } from '../tensor/ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { activationName, activations } from './activations.ts'
import type { Architecture, ConfigDescription } from './architecture.ts'
import { checkHeads, count, layerCount, parseModelConfig } from './model-config.ts'
import { layerNames, linearsOf, linearWeights, normWeights, withoutPrefix } from './modules.ts'
import { rotaryConfig, rotaryOf } from './rotary.ts'

const config = z.looseObject({
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: layerCount,
  num_attention_heads: count,
  max_position_embeddings: count,
  layer_norm_eps: z.number().positive().default(1e-5),
  hidden_act: activationName.default('gelu'),
  use_parallel_residual: z.boolean().default(true),
  attention_bias: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(false),
  ...rotaryConfig,
  // Older names of rope_theta and partial_rotary_factor.
  rotary_emb_base: rotaryConfig.rope_theta,
  rotary_pct: rotaryConfig.partial_rotary_factor,
})

const EMBEDDING = 'gpt_neox.embed_in.weight'
const HEAD = 'embed_out.weight' // as files have it; newer software calls it lm_head
const withoutOuter = withoutPrefix('gpt_neox.')

export const gptNeox: Architecture = {
  modelType: 'gpt_neox',
  aliases: (weight) => (weight === HEAD ? ['lm_head.weight'] : withoutOuter(weight)),
  describe,
}

function describe(json: unknown, where: string): ConfigDescription {
  const c = parseModelConfig(config, json, where)
  const [width, inner, heads] = [c.hidden_size, c.intermediate_size, c.num_attention_heads]
  const headWidth = width / heads
  checkHeads({ width, heads, keyValueHeads: heads, headWidth }, where)
  const place = {
    headWidth,
    positions: c.max_position_embeddings,
    theta: c.rotary_emb_base,
    partial: c.rotary_pct ?? 0.25,
  }
  const { frequencies, scale } = rotaryOf(c, place, where)
  const layers = layerNames('gpt_neox.layers', c.num_hidden_layers)
  const linears = linearsOf(layers, {
    'attention.query_key_value': [width, 3 * width],
    'attention.dense': [width, width],
    'mlp.dense_h_to_4h': [width, inner],
    'mlp.dense_4h_to_h': [inner, width],
  })
  const norms = layers.flatMap((layer) => [`${layer}.input_layernorm`, `${layer}.post_attention_layernorm`])
  const head = c.tie_word_embeddings ? EMBEDDING : HEAD

  return {
    modelType: 'gpt_neox',
    dimensions: {
      layers: layers.length,
      width,
      heads,
      keyValueHeads: heads,
      headWidth,
      vocabulary: c.vocab_size,
      contextLength: c.max_position_embeddings,
    },
    weights: {
      [EMBEDDING]: [c.vocab_size, width],
      ...linearWeights(linears, (module) => c.attention_bias || module.includes('.mlp.')),
      ...normWeights([...norms, 'gpt_neox.final_layer_norm'], width, ['weight', 'bias']),
      [head]: [c.vocab_size, width],
    },
    linears,
    defaultTargets: lastParts(linears),
    head,
    hiddenStates: ({ tokens, positions, weight, embed, linear, attend }) => {
      const activate = activations[c.hidden_act]
      const angles = rotation(positions, frequencies, scale)
      const norm = (x: Tensor, name: string) =>
        layerNorm(x, weight(`${name}.weight`), weight(`${name}.bias`), c.layer_norm_eps)
      const attention = (i: number, layer: string, x: Tensor) => {
        const fused = linear(`${layer}.attention.query_key_value`, norm(x, `${layer}.input_layernorm`))
        const apart = split(reshape(fused, [tokens.shape[0], heads, 3, headWidth]), [1, 1, 1], 2)
        const [query, key, value] = apart.map((part) => reshape(part, [tokens.shape[0], width]))
        const mixed = attend(i, rotary(query, angles, heads), rotary(key, angles, heads), value)
        return linear(`${layer}.attention.dense`, mixed)
      }
      const feedForward = (layer: string, x: Tensor) => {
        const opened = linear(`${layer}.mlp.dense_h_to_4h`, norm(x, `${layer}.post_attention_layernorm`))
        return linear(`${layer}.mlp.dense_4h_to_h`, activate(opened))
      }

      let x = embed(EMBEDDING, tokens)
      for (const [i, layer] of layers.entries()) {
        x = checkpoint(x, 'layer')
        const attended = add(x, attention(i, layer, x))
        x = add(attended, feedForward(layer, c.use_parallel_residual ? x : attended))
      }
      return norm(x, 'gpt_neox.final_layer_norm')
    },
  }
}
