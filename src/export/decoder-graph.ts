/**
 * @file A model as the graph that transformers.js, Optimum and other software of Hugging Face expect of a decoder: a batch
 * of sequences that may be padded, the keys and values of what came before in, those of all tokens out.
 */
import type { ForwardContext, ModelDescription } from '../models/architecture.ts'
import { weightInputs } from '../models/frozen.ts'
import { headOf, logits } from '../models/head.ts'
import { linearLayers } from '../models/linear.ts'
import { int64 } from '../runtime/host-tensor.ts'
import { toModel } from '../tensor/onnx.ts'
import type { ModelProto } from '../tensor/onnx-proto.ts'
import {
  add,
  concat,
  constant,
  greaterOrEqual,
  input,
  matmul,
  mul,
  range,
  reshape,
  softmax,
  split,
  transpose,
  where,
} from '../tensor/ops/index.ts'
import { type Dim, productOfDims, sumDims } from '../tensor/shape.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'

// transformers.js fills an empty cache by these names: a size that it does not know is zero.
const BATCH = 'batch_size'
const SEQUENCE = 'sequence_length'
const PAST = 'past_sequence_length'
const TOTAL = sumDims(PAST, SEQUENCE)

/** The names of a layer's cached keys and values, going in and coming out. */
export const cacheNames = (layer: number) =>
  (['key', 'value'] as const).map((part) => ({
    past: `past_key_values.${layer}.${part}`,
    present: `present.${layer}.${part}`,
  }))

const whole = (...shape: Dim[]): TensorType => ({ dtype: 'int64', shape })

/** The graph of a model whose weights are float32 inputs, named as in its description. */
export function decoderGraph(model: ModelDescription): ModelProto {
  const { layers, keyValueHeads, headWidth, vocabulary } = model.dimensions
  const cache: TensorType = { dtype: 'float32', shape: [BATCH, keyValueHeads, PAST, headWidth] }
  const pasts = Array.from({ length: layers }, (_, layer) => cacheNames(layer).map(({ past }) => past)).flat()
  const types: Record<string, TensorType> = {
    input_ids: whole(BATCH, SEQUENCE),
    attention_mask: whole(BATCH, TOTAL),
    position_ids: whole(BATCH, SEQUENCE),
    ...Object.fromEntries(pasts.map((name) => [name, cache])),
    ...weightInputs(model),
  }
  const inputs = Object.fromEntries(Object.entries(types).map(([name, type]) => [name, input(name, type)]))
  const present: Record<string, Tensor> = {}
  const packed = (x: Tensor) => reshape(x, [productOfDims(BATCH, SEQUENCE)])
  const hidden = model.hiddenStates({
    tokens: packed(inputs.input_ids),
    positions: packed(inputs.position_ids),
    attend: batchedAttention(model, inputs, present),
    ...linearLayers(model, inputs),
  })
  const outputs = {
    logits: reshape(logits(hidden, headOf(model, inputs)), [BATCH, SEQUENCE, vocabulary]),
    ...present,
  }
  return toModel(types, outputs).model
}

/** @param present  filled with the keys and values of all tokens so far */
function batchedAttention(
  { dimensions: { heads, keyValueHeads, headWidth } }: ModelDescription,
  inputs: Record<string, Tensor>,
  present: Record<string, Tensor>,
): ForwardContext['attend'] {
  const shared = heads / keyValueHeads // query heads that share a head of keys and values
  const folded = productOfDims(shared, SEQUENCE)
  const mask = reshape(visible(inputs.attention_mask), [BATCH, 1, 1, SEQUENCE, TOTAL])
  return (layer, q, k, v) => {
    const [keys, values] = [k, v].map((x, i) => {
      const fresh = transpose(reshape(x, [BATCH, SEQUENCE, keyValueHeads, headWidth]), [0, 2, 1, 3])
      const names = cacheNames(layer)[i]
      present[names.present] = concat([inputs[names.past], fresh], 2)
      return present[names.present] // [batch, keyValueHeads, total, headWidth]
    })
    const grouped = transpose(reshape(q, [BATCH, SEQUENCE, keyValueHeads, shared, headWidth]), [0, 2, 3, 1, 4])
    const query = mul(reshape(grouped, [BATCH, keyValueHeads, folded, headWidth]), 1 / Math.sqrt(headWidth))
    const scores = reshape(matmul(query, transpose(keys, [0, 1, 3, 2])), [
      BATCH,
      keyValueHeads,
      shared,
      SEQUENCE,
      TOTAL,
    ])
    const weights = reshape(softmax(add(scores, mask)), [BATCH, keyValueHeads, folded, TOTAL])
    const mixed = reshape(matmul(weights, values), [BATCH, keyValueHeads, shared, SEQUENCE, headWidth])
    return reshape(transpose(mixed, [0, 3, 1, 2, 4]), [productOfDims(BATCH, SEQUENCE), heads * headWidth])
  }
}

/** Finite: a row of padding sees nothing at all, and its garbage must not become NaN, which 0 times is still NaN. */
const HIDDEN = -1e30

/** 0 where a token may look, `HIDDEN` elsewhere: [batch, 1, sequence, total]. */
function visible(attentionMask: Tensor): Tensor {
  const slots = range(TOTAL)
  const [, own] = split(slots, [PAST, SEQUENCE], 0)
  const causal = greaterOrEqual(reshape(own, [SEQUENCE, 1]), reshape(slots, [1, TOTAL]))
  const there = greaterOrEqual(reshape(attentionMask, [BATCH, 1, 1, TOTAL]), constant(int64([], [1])))
  return where(there, where(causal, 0, HIDDEN), HIDDEN)
}
