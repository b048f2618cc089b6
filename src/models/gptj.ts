/**
 * @file GPT-J: one norm feeds attention and feed-forward side by side; rotary positions turn neighbours in part of each
 * head; the logits have a bias.
 */
import { z } from 'zod'
import { lastParts } from '../adapters/lora.ts'
import { add, checkpoint, layerNorm, rotary, rotation } from '../tensor/ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { activationName, activations } from './activations.ts'
import type { Architecture, ConfigDescription } from './architecture.ts'
import { checkHeads, count, layerCount, parseModelConfig } from './model-config.ts'
import { layerNames, linearsOf, linearWeights, normWeights, readersOf, within, withoutPrefix } from './modules.ts'
import { plainFrequencies } from './rotary.ts'

const config = z.looseObject({
  vocab_size: count,
  n_positions: count,
  n_embd: count,
  n_layer: layerCount,
  n_head: count,
  n_inner: count.nullish(),
  rotary_dim: count.default(64),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  activation_function: activationName.default('gelu_new'),
  tie_word_embeddings: z.boolean().default(false),
})

/** What reads a layer's one norm. */
const READERS = ['attn.q_proj', 'attn.k_proj', 'attn.v_proj', 'mlp.fc_in']

export const gptj: Architecture = { modelType: 'gptj', aliases: withoutPrefix('transformer.'), describe }

function describe(json: unknown, where: string): ConfigDescription {
  const c = parseModelConfig(config, json, where)
  const width = c.n_embd
  const inner = c.n_inner ?? 4 * width
  const heads = c.n_head
  const headWidth = width / heads
  checkHeads({ width, heads, keyValueHeads: heads, headWidth }, where)
  const frequencies = plainFrequencies({ headWidth, turned: c.rotary_dim }, where)
  const layers = layerNames('transformer.h', c.n_layer)
  const linears = linearsOf(layers, {
    'attn.q_proj': [width, width],
    'attn.k_proj': [width, width],
    'attn.v_proj': [width, width],
    'attn.out_proj': [width, width],
    'mlp.fc_in': [width, inner],
    'mlp.fc_out': [inner, width],
  })
  const norms = [...layers.map((layer) => `${layer}.ln_1`), 'transformer.ln_f']
  const head = c.tie_word_embeddings ? 'transformer.wte.weight' : 'lm_head.weight'

  return {
    modelType: 'gptj',
    dimensions: {
      layers: layers.length,
      width,
      heads,
      keyValueHeads: heads,
      headWidth,
      vocabulary: c.vocab_size,
      contextLength: c.n_positions,
    },
    weights: {
      'transformer.wte.weight': [c.vocab_size, width],
      ...linearWeights(linears, (module) => module.includes('.mlp.')),
      ...normWeights(norms, width, ['weight', 'bias']),
      [head]: [c.vocab_size, width],
      'lm_head.bias': [c.vocab_size],
    },
    linears,
    readers: readersOf(layers, [READERS]),
    defaultTargets: lastParts(linears),
    head,
    headBias: 'lm_head.bias',
    hiddenStates: ({ tokens, positions, weight, embed, linear, linears, attend }) => {
      const activate = activations[c.activation_function]
      const angles = rotation(positions, frequencies)
      const norm = (x: Tensor, name: string) =>
        layerNorm(x, weight(`${name}.weight`), weight(`${name}.bias`), c.layer_norm_epsilon)

      let x = embed('transformer.wte.weight', tokens)
      for (const [i, layer] of layers.entries()) {
        x = checkpoint(x, 'layer')
        const [query, key, value, opened] = linears(within(layer, READERS), norm(x, `${layer}.ln_1`))
        const turned = (x: Tensor) => rotary(x, angles, heads, { interleaved: true })
        const mixed = attend(i, turned(query), turned(key), value)
        x = add(x, add(linear(`${layer}.attn.out_proj`, mixed), linear(`${layer}.mlp.fc_out`, activate(opened))))
      }
      return norm(x, 'transformer.ln_f')
    },
  }
}
