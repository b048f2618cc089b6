import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { UserError } from '../errors.ts'
import type { ModelDescription } from './architecture.ts'
import { describeContext } from './architecture.ts'
import { architectures } from './architectures.ts'
import { parameterCount } from './language-model.ts'
import { promptProgram } from './prompt.ts'

type Config = Record<string, unknown> & { model_type: string }

const describeConfig = (config: Config): ModelDescription => ({
  ...architectures[config.model_type].describe(config, 'config.json'),
  ...{ storage: 'float32', recompute: 'nothing' },
})

/** All that a description says, its forward pass as the graph that it makes. */
const contentOf = ({ hiddenStates, ...data }: ModelDescription) => ({
  ...data,
  graph: Buffer.from(promptProgram({ hiddenStates, ...data }).bytes).toString('base64'),
})

const checkpoints = new URL('../../test/golden/checkpoints/', import.meta.url).pathname
const golden = readdirSync(checkpoints).map((name): [string, Config] => [
  name,
  JSON.parse(readFileSync(`${checkpoints}${name}/config.json`, 'utf8')),
])

/** A config.json of transformers 5 as transformers 4 wrote it. */
function older({ rope_parameters, dtype, ...rest }: Config): Config {
  const { rope_theta, partial_rotary_factor, rope_type, ...scaling } = (rope_parameters ?? {}) as Record<
    string,
    unknown
  >
  const isNeox = rest.model_type === 'gpt_neox'
  const rotary = {
    [isNeox ? 'rotary_emb_base' : 'rope_theta']: rope_theta,
    ...(isNeox && { rotary_pct: partial_rotary_factor }),
    rope_scaling: rope_type === 'default' ? null : { type: rope_type, ...scaling },
  }
  return { ...rest, torch_dtype: dtype, ...(rope_parameters !== undefined && rotary) } as Config
}

test.each(golden)('%s: the older and the newer form of config.json describe the same model', (_, config) => {
  expect(contentOf(describeConfig(older(config)))).toEqual(contentOf(describeConfig(config)))
})

test('other angles are another graph, so that the comparison above can fail', () => {
  const llama = golden.find(([name]) => name === 'llama')![1]
  const other = { ...llama, rope_parameters: { rope_type: 'default', rope_theta: 10_001 } }
  expect(contentOf(describeConfig(other)).graph).not.toBe(contentOf(describeConfig(llama)).graph)
})

describe('published models have as many parameters as their authors say', () => {
  const silent = { torch_dtype: 'bfloat16', use_cache: true, transformers_version: '4.40.0' }
  const block = (layers: number, width: number, inner: number, heads: number, keyValueHeads: number) => ({
    num_hidden_layers: layers,
    hidden_size: width,
    intermediate_size: inner,
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
    ...silent,
  })
  const gpt = (layers: number, width: number, heads: number) => ({ n_layer: layers, n_embd: width, n_head: heads })
  const published: [string, number, Config][] = [
    [
      'GPT-2',
      124_439_808,
      { model_type: 'gpt2', vocab_size: 50_257, n_positions: 1024, n_ctx: 1024, ...gpt(12, 768, 12) },
    ],
    ['GPT-2 XL', 1_557_611_200, { model_type: 'gpt2', vocab_size: 50_257, n_positions: 1024, ...gpt(48, 1600, 25) }],
    [
      'GPT-J 6B',
      6_050_882_784,
      {
        model_type: 'gptj',
        vocab_size: 50_400,
        n_positions: 2048,
        rotary: true,
        rotary_dim: 64,
        ...gpt(28, 4096, 16),
        scale_attn_weights: true,
        tie_word_embeddings: false,
      },
    ],
    [
      'Pythia 70M',
      70_426_624,
      {
        model_type: 'gpt_neox',
        vocab_size: 50_304,
        max_position_embeddings: 2048,
        rotary_pct: 0.25,
        rotary_emb_base: 10_000,
        hidden_act: 'gelu',
        layer_norm_eps: 1e-5,
        use_parallel_residual: true,
        ...block(6, 512, 2048, 8, 8),
        tie_word_embeddings: false,
      },
    ],
    [
      'SmolLM2 135M',
      134_515_008,
      {
        model_type: 'llama',
        vocab_size: 49_152,
        max_position_embeddings: 8192,
        rope_theta: 100_000,
        rope_scaling: null,
        ...block(30, 576, 1536, 9, 3),
        tie_word_embeddings: true,
      },
    ],
    [
      'TinyLlama 1.1B',
      1_100_048_384,
      {
        model_type: 'llama',
        vocab_size: 32_000,
        max_position_embeddings: 2048,
        rope_scaling: null,
        pretraining_tp: 1,
        ...block(22, 2048, 5632, 32, 4),
        tie_word_embeddings: false,
      },
    ],
    [
      'Llama 3.2 1B',
      1_235_814_400,
      {
        model_type: 'llama',
        vocab_size: 128_256,
        max_position_embeddings: 131_072,
        head_dim: 64,
        rope_theta: 500_000,
        rope_scaling: {
          factor: 32,
          high_freq_factor: 4,
          low_freq_factor: 1,
          original_max_position_embeddings: 8192,
          rope_type: 'llama3',
        },
        ...block(16, 2048, 8192, 32, 8),
        tie_word_embeddings: true,
      },
    ],
    [
      'Mistral 7B v0.1',
      7_241_732_096,
      {
        model_type: 'mistral',
        vocab_size: 32_000,
        max_position_embeddings: 32_768,
        sliding_window: 4096,
        rope_theta: 10_000,
        ...block(32, 4096, 14_336, 32, 8),
      },
    ],
    [
      'Qwen2.5 0.5B',
      494_032_768,
      {
        model_type: 'qwen2',
        vocab_size: 151_936,
        max_position_embeddings: 32_768,
        max_window_layers: 24,
        sliding_window: 32_768,
        use_sliding_window: false,
        rope_theta: 1_000_000,
        ...block(24, 896, 4864, 14, 2),
        tie_word_embeddings: true,
      },
    ],
    [
      'Qwen3 0.6B',
      596_049_920,
      {
        model_type: 'qwen3',
        vocab_size: 151_936,
        max_position_embeddings: 40_960,
        head_dim: 128,
        attention_bias: false,
        max_window_layers: 28,
        sliding_window: null,
        use_sliding_window: false,
        rope_theta: 1_000_000,
        rope_scaling: null,
        ...block(28, 1024, 3072, 16, 8),
        tie_word_embeddings: true,
      },
    ],
  ]
  test.each(published)('%s', (_, parameters, config) => {
    expect(parameterCount(describeConfig(config))).toBe(parameters)
  })
})

describe('a head is tied or not', () => {
  const silent = golden.map(([name, { tie_word_embeddings: _, ...config }]): [string, Config] => [
    name,
    config as Config,
  ])
  test.each(silent)('%s: as transformers assumes where config.json is silent', (_, config) => {
    const { head, weights } = describeConfig(config)
    expect(/embed_tokens|wte|embed_in/.test(head)).toBe(config.model_type === 'gpt2')
    expect(weights[head]).toEqual([config.vocab_size, config.hidden_size ?? config.n_embd])
  })
})

describe('a sliding window', () => {
  const of = (name: string, extra: object) =>
    describeConfig({ ...golden.find(([known]) => known === name)![1], max_position_embeddings: 4096, ...extra })

  test.each([
    ['mistral', { sliding_window: 1024 }],
    ['qwen2', { use_sliding_window: true, sliding_window: 1024, layer_types: ['full_attention', 'sliding_attention'] }],
    ['qwen3', { use_sliding_window: true, sliding_window: 1024, layer_types: null, max_window_layers: 1 }],
  ])('of %s limits the context to what it leaves exact, and says so', (name, extra) => {
    const model = of(name, extra)
    expect(model.dimensions.contextLength).toBe(1024)
    expect(describeContext(model)).toBe('1024 (its attention slides over 1024 tokens)')
  })

  test.each([
    ['mistral', { sliding_window: null }],
    ['mistral', { sliding_window: 4096 }],
    ['qwen2', { use_sliding_window: false, sliding_window: 1024 }],
    ['qwen2', { use_sliding_window: true, sliding_window: 1024, layer_types: ['full_attention', 'full_attention'] }],
    ['qwen3', { use_sliding_window: true, sliding_window: 1024, layer_types: null, max_window_layers: 2 }],
  ])('that %s does not have, or does not reach, limits nothing: %j', (name, extra) => {
    expect(describeContext(of(name, extra))).toBe('4096')
  })
})

describe('a config.json of the wrong form is refused by one line that names the key', () => {
  const wrong: [string, object, string][] = [
    ['gpt2', { n_layer: 0 }, 'n_layer'],
    ['gpt2', { activation_function: 'relu' }, 'activation_function'],
    ['gpt2', { add_cross_attention: true }, 'add_cross_attention'],
    ['gptj', { rotary_dim: null }, 'rotary_dim'],
    ['gptj', { rotary_dim: 3 }, "turn 3 of a head's 8 elements"],
    ['gptj', { n_head: 5 }, 'a width of 32 does not divide into 5 heads'],
    ['gpt_neox', { hidden_act: 'relu2' }, 'hidden_act'],
    ['gpt_neox', { use_parallel_residual: 'yes' }, 'use_parallel_residual'],
    ['gpt_neox', { rope_parameters: { rope_type: 'longrope' } }, 'rotary scaling "longrope" is not supported'],
    ['llama', { num_key_value_heads: 3 }, '4 heads cannot share 3 heads of keys and values'],
    ['llama', { quantization_config: { quant_method: 'gptq', bits: 4 } }, 'weights quantised by gptq'],
    ['llama', { attention_bias: 1 }, 'attention_bias'],
    ['mistral', { sliding_window: 0 }, 'sliding_window'],
    ['mistral', { max_position_embeddings: undefined }, 'max_position_embeddings: missing'],
    ['mistral', { rope_parameters: 'linear' }, 'rope_parameters: Invalid input: expected object'],
    ['qwen2', { layer_types: ['full_attention', 'chunked_attention'] }, 'layer_types.1'],
    ['qwen2', { intermediate_size: 3.5 }, 'intermediate_size'],
    ['qwen3', { head_dim: 15 }, "turn 15 of a head's 15 elements"],
    ['qwen3', { num_hidden_layers: 1e9 }, 'num_hidden_layers: Too big: expected number to be <=1000'],
    ['qwen3', { rms_norm_eps: -1 }, 'rms_norm_eps'],
  ]

  test('and every architecture is among those that are tried', () => {
    expect([...new Set(wrong.map(([name]) => name))].sort()).toEqual(Object.keys(architectures).sort())
  })

  test.each(wrong)('%s: %j', (name, extra, key) => {
    const config = golden.find(([known]) => known === name)![1]
    const work = () => describeConfig({ ...config, ...extra })
    expect(work).toThrow(UserError)
    expect(work).toThrow(key)
    expect(work).toThrow(/^config\.json: [^\n]*$/)
  })
})
