/** @file Llama, Mistral, Qwen2 and Qwen3 in GGUF: they differ in a few tensors, and only Llama's rows are moved. */
import { z } from 'zod'
import { UserError } from '../../errors.ts'
import { count, type Entries, real } from '../../weights/gguf/entries.ts'
import { llamaConfig } from '../llama-family.ts'
import { checkHeads, parseModelConfig } from '../model-config.ts'
import { slidingConfig, windowOf } from '../sliding-window.ts'
import { rotaryPairs } from './arrangement.ts'
import {
  type Family,
  HEAD,
  type NamePair,
  type TensorFacts,
  type WrittenModel,
  weightsOnly,
  withBiases,
} from './family.ts'
import type { Keys } from './keys.ts'
import { ropeEntries, ropeFactors, ropeParameters } from './rope.ts'

const [BLOCK, LAYER] = ['blk.{n}', 'model.layers.{n}']

const COMMON: NamePair[] = weightsOnly([
  ['token_embd', 'model.embed_tokens'],
  ['output_norm', 'model.norm'],
  ['output', 'lm_head'],
  [`${BLOCK}.attn_norm`, `${LAYER}.input_layernorm`],
  [`${BLOCK}.ffn_norm`, `${LAYER}.post_attention_layernorm`],
])

const QUERY_KEY_VALUE: NamePair[] = [
  [`${BLOCK}.attn_q`, `${LAYER}.self_attn.q_proj`],
  [`${BLOCK}.attn_k`, `${LAYER}.self_attn.k_proj`],
  [`${BLOCK}.attn_v`, `${LAYER}.self_attn.v_proj`],
]

const OTHER_LINEARS: NamePair[] = [
  [`${BLOCK}.attn_output`, `${LAYER}.self_attn.o_proj`],
  [`${BLOCK}.ffn_gate`, `${LAYER}.mlp.gate_proj`],
  [`${BLOCK}.ffn_up`, `${LAYER}.mlp.up_proj`],
  [`${BLOCK}.ffn_down`, `${LAYER}.mlp.down_proj`],
]

const HEAD_NORMS: NamePair[] = [
  [`${BLOCK}.attn_q_norm`, `${LAYER}.self_attn.q_norm`],
  [`${BLOCK}.attn_k_norm`, `${LAYER}.self_attn.k_norm`],
]

export const llamaFamily: Family = {
  architecture: 'llama',
  modelTypes: ['llama', 'mistral'],
  names: [...COMMON, ...withBiases([...QUERY_KEY_VALUE, ...OTHER_LINEARS])],
  arrangement: (name, { heads, keyValueHeads }) => {
    if (name.includes('.q_proj.')) return rotaryPairs(heads)
    return name.includes('.k_proj.') ? rotaryPairs(keyValueHeads) : undefined
  },
  config: (keys, facts) => ({
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    ...transformerConfig(keys, facts),
    attention_bias: facts.has('attn_q.bias'),
    mlp_bias: facts.has('ffn_gate.bias'),
  }),
  describe(json, where) {
    const c = parseModelConfig(transformerSchema, json, where)
    const lacks = (name: string) =>
      isBiasOf(name, c.attention_bias ? [] : ['attn']) || isBiasOf(name, c.mlp_bias ? [] : ['ffn'])
    const window = c.model_type === 'mistral' ? parseModelConfig(mistralWindow, json, where).sliding_window : null
    return describeTransformer(c, window, lacks, where)
  },
}

const isBiasOf = (name: string, parts: readonly string[]) =>
  name.endsWith('.bias') && parts.some((part) => name.includes(`.${part}_`))

export const qwen2Family: Family = {
  architecture: 'qwen2',
  modelTypes: ['qwen2'],
  names: [...COMMON, ...withBiases(QUERY_KEY_VALUE), ...weightsOnly(OTHER_LINEARS)],
  arrangement: () => undefined,
  config: (keys, facts) => ({
    architectures: ['Qwen2ForCausalLM'],
    model_type: 'qwen2',
    ...transformerConfig(keys, facts),
    use_sliding_window: false,
  }),
  describe: (json, where) => describeQwen(json, where),
}

export const qwen3Family: Family = {
  architecture: 'qwen3',
  modelTypes: ['qwen3'],
  names: [...COMMON, ...weightsOnly([...QUERY_KEY_VALUE, ...OTHER_LINEARS, ...HEAD_NORMS])],
  arrangement: () => undefined,
  config: (keys, facts) => ({
    architectures: ['Qwen3ForCausalLM'],
    model_type: 'qwen3',
    ...transformerConfig(keys, facts),
    attention_bias: false,
    use_sliding_window: false,
  }),
  describe: (json, where) => describeQwen(json, where),
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

const transformerSchema = z.looseObject({
  ...llamaConfig,
  model_type: z.string(),
  hidden_act: z.literal('silu', 'GGUF holds silu only').default('silu'),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
})
type TransformerConfig = z.infer<typeof transformerSchema>

const qwenSchema = z.looseObject({
  ...transformerSchema.shape,
  attention_bias: z.literal(false, 'GGUF holds no more biases').default(false),
  ...slidingConfig,
})

const mistralWindow = z.looseObject({ sliding_window: slidingConfig.sliding_window })

function describeQwen(json: unknown, where: string): WrittenModel {
  const c = parseModelConfig(qwenSchema, json, where)
  return describeTransformer(c, windowOf(c, c.num_hidden_layers), () => false, where)
}

function describeTransformer(
  c: TransformerConfig,
  window: number | null,
  lacks: (name: string) => boolean,
  where: string,
): WrittenModel {
  const positions = c.max_position_embeddings
  if (window !== null && window < positions)
    throw new UserError({ what: 'GGUF cannot hold a sliding window', where, fix: 'export to safetensors' })
  const heads = c.num_attention_heads
  const keyValueHeads = c.num_key_value_heads ?? heads
  const headWidth = c.head_dim ?? c.hidden_size / heads
  checkHeads({ width: c.hidden_size, heads, keyValueHeads, headWidth }, where)
  const entries: Entries = {
    block_count: count(c.num_hidden_layers),
    context_length: count(positions),
    embedding_length: count(c.hidden_size),
    feed_forward_length: count(c.intermediate_size),
    'attention.head_count': count(heads),
    'attention.head_count_kv': count(keyValueHeads),
    'attention.key_length': count(headWidth),
    'attention.value_length': count(headWidth),
    'attention.layer_norm_rms_epsilon': real(c.rms_norm_eps),
    'rope.dimension_count': count(headWidth),
    ...ropeEntries(c, positions, where),
    vocab_size: count(c.vocab_size),
  }
  return {
    heads,
    keyValueHeads,
    layers: c.num_hidden_layers,
    vocabulary: c.vocab_size,
    ropeFactors: ropeFactors(c, { headWidth, positions }, where),
    entries,
    lacks: (name) => lacks(name) || (name === HEAD && c.tie_word_embeddings),
  }
}
