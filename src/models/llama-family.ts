/**
 * @file The block that Llama and its descendants share: root-mean-square norms, rotary positions, grouped heads, a gated
 * feed-forward layer. They differ in which linear layers have a bias and in norms of queries and keys.
 */
import { z } from 'zod'
import { lastParts } from '../adapters/lora.ts'
import { UserError } from '../errors.ts'
import { add, checkpoint, mul, reshape, rmsNorm, rotary, rotation } from '../tensor/ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { activationName, activations } from './activations.ts'
import type { ConfigDescription } from './architecture.ts'
import { checkHeads, count, layerCount } from './model-config.ts'
import { layerNames, linearsOf, linearWeights, normWeights, readersOf, within } from './modules.ts'
import { rotaryConfig, rotaryOf } from './rotary.ts'
import { contextWithin } from './sliding-window.ts'

/** The keys of config.json that the family shares. */
export const llamaConfig = {
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: layerCount,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  max_position_embeddings: count,
  rms_norm_eps: z.number().positive().default(1e-6),
  hidden_act: activationName.default('silu'),
  tie_word_embeddings: z.boolean().default(false),
  ...rotaryConfig,
}

type LlamaConfig = z.infer<z.ZodObject<typeof llamaConfig>>

/** What a member of the family adds. */
export type Variant = {
  modelType: string
  /** Names of the linear layers that have a bias. */
  biased?: readonly string[]
  /** Are queries and keys normalised, head by head? */
  headNorms?: boolean
  /** Tokens that attention looks back over; null where it sees all. */
  window?: number | null
}

/** What reads a layer's first norm, and its second. */
const PROJECTIONS = ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj']
const GATES = ['mlp.gate_proj', 'mlp.up_proj']

export const ATTENTION = ['q_proj', 'k_proj', 'v_proj', 'o_proj']
export const FEED_FORWARD = ['gate_proj', 'up_proj', 'down_proj']

/** The description of a member. @throws UserError where the config contradicts itself */
export function llamaFamily(c: LlamaConfig, variant: Variant, where: string): ConfigDescription {
  const { modelType, biased = [], headNorms = false, window = null } = variant
  const heads = c.num_attention_heads
  const keyValueHeads = c.num_key_value_heads ?? heads
  const headWidth = c.head_dim ?? c.hidden_size / heads
  const [width, inner] = [c.hidden_size, c.intermediate_size]
  checkHeads({ width, heads, keyValueHeads, headWidth }, where)
  const { frequencies, scale } = rotaryOf(c, { headWidth, positions: c.max_position_embeddings }, where)
  if (2 * frequencies.length !== headWidth)
    throw new UserError({
      what: `partial_rotary_factor: in ${modelType} models whole heads turn`,
      where,
      fix: 'use the config.json that belongs to the weights',
    })
  const layers = layerNames('model.layers', c.num_hidden_layers)
  const linears = linearsOf(layers, {
    'self_attn.q_proj': [width, heads * headWidth],
    'self_attn.k_proj': [width, keyValueHeads * headWidth],
    'self_attn.v_proj': [width, keyValueHeads * headWidth],
    'self_attn.o_proj': [heads * headWidth, width],
    'mlp.gate_proj': [width, inner],
    'mlp.up_proj': [width, inner],
    'mlp.down_proj': [inner, width],
  })
  const norms = layers.flatMap((layer) => [`${layer}.input_layernorm`, `${layer}.post_attention_layernorm`])
  const perHead = layers.flatMap((layer) => [`${layer}.self_attn.q_norm`, `${layer}.self_attn.k_norm`])
  const head = c.tie_word_embeddings ? 'model.embed_tokens.weight' : 'lm_head.weight'
  const { contextLength, contextLimit } = contextWithin(c.max_position_embeddings, window)

  return {
    modelType,
    dimensions: {
      layers: layers.length,
      width,
      heads,
      keyValueHeads,
      headWidth,
      vocabulary: c.vocab_size,
      contextLength,
    },
    weights: {
      'model.embed_tokens.weight': [c.vocab_size, width],
      ...linearWeights(linears, (module) => biased.some((name) => module.endsWith(`.${name}`))),
      ...normWeights([...norms, 'model.norm'], width, ['weight']),
      ...(headNorms && normWeights(perHead, headWidth, ['weight'])),
      [head]: [c.vocab_size, width],
    },
    linears,
    readers: readersOf(layers, [PROJECTIONS, GATES]),
    defaultTargets: lastParts(linears),
    head,
    contextLimit,
    hiddenStates: ({ tokens, positions, weight, embed, linear, linears, attend }) => {
      const activate = activations[c.hidden_act]
      const angles = rotation(positions, frequencies, scale)
      const norm = (x: Tensor, name: string) => rmsNorm(x, weight(`${name}.weight`), c.rms_norm_eps)
      const normHeads = (x: Tensor, name: string) => {
        if (!headNorms) return x
        const apart = reshape(x, [x.shape[0], Number(x.shape[1]) / headWidth, headWidth])
        return reshape(norm(apart, name), x.shape)
      }

      let x = embed('model.embed_tokens.weight', tokens)
      for (const [i, layer] of layers.entries()) {
        x = checkpoint(x, 'layer')
        const attentionInput = norm(x, `${layer}.input_layernorm`)
        const [q, k, value] = linears(within(layer, PROJECTIONS), attentionInput)
        const query = rotary(normHeads(q, `${layer}.self_attn.q_norm`), angles, heads)
        const key = rotary(normHeads(k, `${layer}.self_attn.k_norm`), angles, keyValueHeads)
        x = add(x, linear(`${layer}.self_attn.o_proj`, attend(i, query, key, value)))

        const feedInput = norm(x, `${layer}.post_attention_layernorm`)
        const [gate, up] = linears(within(layer, GATES), feedInput)
        x = add(x, linear(`${layer}.mlp.down_proj`, mul(activate(gate), up)))
      }
      return norm(x, 'model.norm')
    },
  }
}
