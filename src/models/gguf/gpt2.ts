/** @file GPT-2 in GGUF, which stores its projections [outputs, inputs] as those of any other. */
import { z } from 'zod'
import { count, real } from '../../weights/gguf/entries.ts'
import { layerCount, parseModelConfig, count as size } from '../model-config.ts'
import { type Family, HEAD, weightsOnly, withBiases } from './family.ts'

const [BLOCK, LAYER] = ['blk.{n}', 'transformer.h.{n}']

export const gpt2Family: Family = {
  architecture: 'gpt2',
  modelTypes: ['gpt2'],
  names: [
    ...weightsOnly([
      ['token_embd', 'transformer.wte'],
      ['position_embd', 'transformer.wpe'],
      ['output', 'lm_head'],
    ]),
    ...withBiases([
      ['output_norm', 'transformer.ln_f'],
      [`${BLOCK}.attn_norm`, `${LAYER}.ln_1`],
      [`${BLOCK}.attn_qkv`, `${LAYER}.attn.c_attn`],
      [`${BLOCK}.attn_output`, `${LAYER}.attn.c_proj`],
      [`${BLOCK}.ffn_norm`, `${LAYER}.ln_2`],
      [`${BLOCK}.ffn_up`, `${LAYER}.mlp.c_fc`],
      [`${BLOCK}.ffn_down`, `${LAYER}.mlp.c_proj`],
    ]),
  ],
  arrangement: () => undefined,
  config: (keys, { vocabulary, tied }) => ({
    architectures: ['GPT2LMHeadModel'],
    model_type: 'gpt2',
    activation_function: 'gelu_new',
    vocab_size: vocabulary,
    n_positions: keys.count('context_length'),
    n_embd: keys.count('embedding_length'),
    n_layer: keys.count('block_count'),
    n_head: keys.count('attention.head_count'),
    n_inner: keys.count('feed_forward_length'),
    layer_norm_epsilon: keys.positive('attention.layer_norm_epsilon'),
    tie_word_embeddings: tied,
  }),
  describe(json, where) {
    const c = parseModelConfig(schema, json, where)
    return {
      heads: c.n_head,
      keyValueHeads: c.n_head,
      layers: c.n_layer,
      vocabulary: c.vocab_size,
      lacks: (name) => name === HEAD && c.tie_word_embeddings,
      entries: {
        block_count: count(c.n_layer),
        context_length: count(c.n_positions),
        embedding_length: count(c.n_embd),
        feed_forward_length: count(c.n_inner ?? 4 * c.n_embd),
        'attention.head_count': count(c.n_head),
        'attention.layer_norm_epsilon': real(c.layer_norm_epsilon),
      },
    }
  },
}

const schema = z.looseObject({
  vocab_size: size,
  n_positions: size,
  n_embd: size,
  n_layer: layerCount,
  n_head: size,
  n_inner: size.nullish(),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  activation_function: z.literal('gelu_new', 'GGUF holds gelu_new only').default('gelu_new'),
  tie_word_embeddings: z.boolean().default(true),
  scale_attn_weights: z.literal(true).default(true),
  scale_attn_by_inverse_layer_idx: z.literal(false).default(false),
})
