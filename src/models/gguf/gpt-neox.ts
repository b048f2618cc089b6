/** @file GPT-NeoX (Pythia) in GGUF: rotary positions on a part of each head, and a fused projection sorted otherwise. */
import { z } from 'zod'
import { UserError } from '../../errors.ts'
import { count, flag, real } from '../../weights/gguf/entries.ts'
import { layerCount, parseModelConfig, count as size } from '../model-config.ts'
import { fusedHeads } from './arrangement.ts'
import { type Family, weightsOnly, withBiases } from './family.ts'

const [BLOCK, LAYER] = ['blk.{n}', 'gpt_neox.layers.{n}']

export const gptNeoxFamily: Family = {
  architecture: 'gptneox',
  modelTypes: ['gpt_neox'],
  names: [
    ...weightsOnly([
      ['token_embd', 'gpt_neox.embed_in'],
      ['output', 'embed_out'],
    ]),
    ...withBiases([
      ['output_norm', 'gpt_neox.final_layer_norm'],
      [`${BLOCK}.attn_norm`, `${LAYER}.input_layernorm`],
      [`${BLOCK}.attn_qkv`, `${LAYER}.attention.query_key_value`],
      [`${BLOCK}.attn_output`, `${LAYER}.attention.dense`],
      [`${BLOCK}.ffn_norm`, `${LAYER}.post_attention_layernorm`],
      [`${BLOCK}.ffn_up`, `${LAYER}.mlp.dense_h_to_4h`],
      [`${BLOCK}.ffn_down`, `${LAYER}.mlp.dense_4h_to_h`],
    ]),
  ],
  arrangement: (name, { heads }) => (name.includes('.query_key_value.') ? fusedHeads(heads) : undefined),
  config(keys, { vocabulary, tied }) {
    const [width, heads] = [keys.count('embedding_length'), keys.count('attention.head_count')]
    keys.expect('rope.scaling.type', 'none')
    return {
      architectures: ['GPTNeoXForCausalLM'],
      model_type: 'gpt_neox',
      attention_bias: true,
      vocab_size: vocabulary,
      hidden_size: width,
      intermediate_size: keys.count('feed_forward_length'),
      num_hidden_layers: keys.count('block_count'),
      num_attention_heads: heads,
      hidden_act: 'gelu',
      max_position_embeddings: keys.count('context_length'),
      layer_norm_eps: keys.positive('attention.layer_norm_epsilon'),
      rope_parameters: {
        rope_type: 'default',
        rope_theta: keys.optionalPositive('rope.freq_base') ?? 10_000,
        partial_rotary_factor: keys.count('rope.dimension_count') / (width / heads),
      },
      use_parallel_residual: keys.optionalFlag('use_parallel_residual') ?? true,
      tie_word_embeddings: tied,
    }
  },
  describe(json, where) {
    const c = parseModelConfig(schema, json, where)
    const rule = c.rope_parameters ?? {}
    if ((rule.rope_type ?? 'default') !== 'default' || c.rope_scaling)
      throw new UserError({
        what: 'rotary scaling of GPT-NeoX cannot be written to GGUF',
        where,
        fix: 'export to safetensors',
      })
    const share = rule.partial_rotary_factor ?? c.rotary_pct ?? 0.25
    return {
      heads: c.num_attention_heads,
      keyValueHeads: c.num_attention_heads,
      layers: c.num_hidden_layers,
      vocabulary: c.vocab_size,
      lacks: () => false,
      entries: {
        block_count: count(c.num_hidden_layers),
        context_length: count(c.max_position_embeddings),
        embedding_length: count(c.hidden_size),
        feed_forward_length: count(c.intermediate_size),
        'attention.head_count': count(c.num_attention_heads),
        'attention.layer_norm_epsilon': real(c.layer_norm_eps),
        'rope.dimension_count': count(Math.floor(share * (c.hidden_size / c.num_attention_heads))),
        'rope.freq_base': real(rule.rope_theta ?? c.rope_theta ?? c.rotary_emb_base ?? 10_000),
        use_parallel_residual: flag(c.use_parallel_residual),
        vocab_size: count(c.vocab_size),
      },
    }
  },
}

const positive = z.number().positive()
const schema = z.looseObject({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: layerCount,
  num_attention_heads: size,
  max_position_embeddings: size,
  layer_norm_eps: positive.default(1e-5),
  hidden_act: z.literal('gelu', 'GGUF holds gelu only').default('gelu'),
  attention_bias: z.literal(true, 'llama.cpp wants biases in attention').default(true),
  use_parallel_residual: z.boolean().default(true),
  tie_word_embeddings: z.literal(false, 'llama.cpp wants a head of its own').default(false),
  rotary_pct: positive.optional(),
  rotary_emb_base: positive.optional(),
  rope_theta: positive.optional(),
  rope_scaling: z.looseObject({}).nullish(),
  rope_parameters: z
    .looseObject({
      rope_type: z.string().optional(),
      rope_theta: positive.optional(),
      partial_rotary_factor: positive.optional(),
    })
    .optional(),
})
