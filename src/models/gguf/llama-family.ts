/** @file Llama, Mistral, Qwen2 and Qwen3 in GGUF: they differ in a few tensors, and only Llama's rows are moved. */
import { z } from 'zod'
import { UserError } from '../../errors.ts'
import { count, type Entries, real, text } from '../../weights/gguf/entries.ts'
import { checkHeads, parseModelConfig } from '../model-config.ts'
import { type RotaryConfig, rotaryConfig } from '../rotary.ts'
import { rotaryPairs } from './arrangement.ts'
import { type Family, type FamilyEntries, type NamePair, type TensorFacts, weightsOnly, withBiases } from './family.ts'
import type { Keys } from './keys.ts'
import { ropeFactors, ropeParameters } from './rope.ts'

const [BLOCK, LAYER] = ['blk.{n}', 'model.layers.{n}']

const COMMON: NamePair[] = weightsOnly([
  ['token_embd', 'model.embed_tokens'],
  ['output_norm', 'model.norm'],
  ['output', 'lm_head'],
  [`${BLOCK}.attn_norm`, `${LAYER}.input_layernorm`],
  [`${BLOCK}.attn_output`, `${LAYER}.self_attn.o_proj`],
  [`${BLOCK}.ffn_norm`, `${LAYER}.post_attention_layernorm`],
  [`${BLOCK}.ffn_gate`, `${LAYER}.mlp.gate_proj`],
  [`${BLOCK}.ffn_up`, `${LAYER}.mlp.up_proj`],
  [`${BLOCK}.ffn_down`, `${LAYER}.mlp.down_proj`],
])

const QUERY_KEY_VALUE: NamePair[] = [
  [`${BLOCK}.attn_q`, `${LAYER}.self_attn.q_proj`],
  [`${BLOCK}.attn_k`, `${LAYER}.self_attn.k_proj`],
  [`${BLOCK}.attn_v`, `${LAYER}.self_attn.v_proj`],
]

const QUERY_KEY_NORMS: NamePair[] = [
  [`${BLOCK}.attn_q_norm`, `${LAYER}.self_attn.q_norm`],
  [`${BLOCK}.attn_k_norm`, `${LAYER}.self_attn.k_norm`],
]

export const llamaFamily: Family = {
  architecture: 'llama',
  modelTypes: ['llama', 'mistral'],
  names: [...COMMON, ...weightsOnly(QUERY_KEY_VALUE)],
  arrangement: (name, { heads, keyValueHeads }) => {
    if (name === `${LAYER}.self_attn.q_proj.weight`) return rotaryPairs(heads)
    return name === `${LAYER}.self_attn.k_proj.weight` ? rotaryPairs(keyValueHeads) : undefined
  },
  config: (keys, facts) => ({
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    ...transformerConfig(keys, facts),
    attention_bias: false,
    mlp_bias: false,
  }),
  entries: (config, where) => transformerEntries(config, where),
}

export const qwen2Family: Family = {
  architecture: 'qwen2',
  modelTypes: ['qwen2'],
  names: [...COMMON, ...withBiases(QUERY_KEY_VALUE)],
  arrangement: () => undefined,
  config: (keys, facts) => ({
    architectures: ['Qwen2ForCausalLM'],
    model_type: 'qwen2',
    ...transformerConfig(keys, facts),
    use_sliding_window: false,
  }),
  entries: (config, where) => transformerEntries(config, where),
}

export const qwen3Family: Family = {
  architecture: 'qwen3',
  modelTypes: ['qwen3'],
  names: [...COMMON, ...weightsOnly([...QUERY_KEY_VALUE, ...QUERY_KEY_NORMS])],
  arrangement: () => undefined,
  config: (keys, facts) => ({
    architectures: ['Qwen3ForCausalLM'],
    model_type: 'qwen3',
    ...transformerConfig(keys, facts),
    attention_bias: false,
    use_sliding_window: false,
  }),
  entries: (config, where) => transformerEntries(config, where),
}

function transformerConfig(keys: Keys, { vocabulary, tied, ropeFactors: factors }: TensorFacts) {
  const [width, heads] = [keys.count('embedding_length'), keys.count('attention.head_count')]
  const headWidth = keys.optionalCount('attention.key_length') ?? width / heads
  const keyValueHeads = keys.optionalCount('attention.head_count_kv') ?? heads
  checkHeads({ width, heads, keyValueHeads, headWidth }, keys.path)
  keys.expect('attention.value_length', headWidth)
  keys.expect('attention.sliding_window', 0)
  keys.expect('expert_count', 0)
  return {
    vocab_size: vocabulary,
    hidden_size: width,
    intermediate_size: keys.count('feed_forward_length'),
    num_hidden_layers: keys.count('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
    head_dim: headWidth,
    hidden_act: 'silu',
    max_position_embeddings: keys.count('context_length'),
    rms_norm_eps: keys.positive('attention.layer_norm_rms_epsilon'),
    rope_parameters: ropeParameters(keys, headWidth, factors),
    tie_word_embeddings: tied,
  }
}

const size = z.number().int().positive()
const none = (what: string) => z.literal([false, null, undefined], `${what} cannot be written to GGUF`).optional()

const transformerSchema = z.looseObject({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  max_position_embeddings: size,
  rms_norm_eps: z.number().positive().default(1e-6),
  hidden_act: z.literal('silu').default('silu'),
  attention_bias: none('a bias in attention'),
  mlp_bias: none('a bias in the feed-forward layer'),
  use_sliding_window: z.boolean().nullish(),
  sliding_window: size.nullish(),
  ...rotaryConfig,
})

function transformerEntries(json: unknown, where: string): FamilyEntries {
  const c = parseModelConfig(transformerSchema, json, where)
  if (c.sliding_window && c.use_sliding_window !== false && c.sliding_window < c.max_position_embeddings)
    throw new UserError({
      what: 'attention with a sliding window cannot be written to GGUF',
      where,
      fix: 'export to safetensors',
    })
  const heads = c.num_attention_heads
  const keyValueHeads = c.num_key_value_heads ?? heads
  const headWidth = c.head_dim ?? c.hidden_size / heads
  const rule = c.rope_parameters ?? c.rope_scaling ?? { rope_type: 'default' as const }
  const theta = c.rope_theta ?? (rule as { rope_theta?: number }).rope_theta ?? 10_000
  return {
    heads,
    keyValueHeads,
    layers: c.num_hidden_layers,
    vocabulary: c.vocab_size,
    ropeFactors: rule.rope_type === 'llama3' ? ropeFactors(headWidth, c) : undefined,
    entries: {
      block_count: count(c.num_hidden_layers),
      context_length: count(c.max_position_embeddings),
      embedding_length: count(c.hidden_size),
      feed_forward_length: count(c.intermediate_size),
      'attention.head_count': count(heads),
      'attention.head_count_kv': count(keyValueHeads),
      'attention.key_length': count(headWidth),
      'attention.value_length': count(headWidth),
      'attention.layer_norm_rms_epsilon': real(c.rms_norm_eps),
      'rope.dimension_count': count(headWidth),
      'rope.freq_base': real(theta),
      ...scalingEntries(rule, where),
      vocab_size: count(c.vocab_size),
    },
  }
}

type Rule = NonNullable<RotaryConfig['rope_parameters']>

/** Llama 3's scaling is a tensor; its context is written so that the same config can be read back. */
function scalingEntries(rule: Rule, where: string): Entries {
  switch (rule.rope_type) {
    case 'default':
      return {}
    case 'linear':
      return { 'rope.scaling.type': text('linear'), 'rope.scaling.factor': real(rule.factor) }
    case 'llama3':
      return { 'rope.scaling.original_context_length': count(rule.original_max_position_embeddings) }
    default:
      throw new UserError({
        what: `rotary scaling ${JSON.stringify((rule as { rope_type: string }).rope_type)} cannot be written to GGUF`,
        where,
        fix: 'export to safetensors',
      })
  }
}
