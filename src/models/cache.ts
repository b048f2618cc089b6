/**
 * @file Attention of one new token per row to cached keys and values: those of the prompt, held once for all rows, and
 * those of the row's own earlier tokens.
 */
import { add, concat, gather, matmul, reshape, softmax, split, transpose } from '../tensor/ops/index.ts'
import { productOfDims } from '../tensor/shape.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import type { Dimensions, ForwardContext } from './architecture.ts'

/** Keys or values of a prompt, one entry per layer: [keyValueHeads, prompt, headWidth]. */
export const promptCacheInputs = ({ layers, keyValueHeads, headWidth }: Dimensions): Record<string, TensorType> =>
  perLayer(layers, 'prompt', [keyValueHeads, 'prompt', headWidth])

/** Keys or values of the rows' own tokens so far, one entry per layer: [keyValueHeads, rows before, steps, headWidth]. */
export const rowCacheInputs = ({ layers, keyValueHeads, headWidth }: Dimensions): Record<string, TensorType> =>
  perLayer(layers, 'past', [keyValueHeads, 'rowsBefore', 'steps', headWidth])

function perLayer(layers: number, name: string, shape: TensorType['shape']): Record<string, TensorType> {
  const names = Array.from({ length: layers }, (_, i) => [`${name}Key.${i}`, `${name}Value.${i}`]).flat()
  return Object.fromEntries(names.map((key) => [key, { dtype: 'float32', shape } as TensorType]))
}

/**
 * Attention of the new tokens of some rows.
 * @param keep  [rows], which of the rows before are still there: finished rows leave the batch
 * @param present  filled with the keys and values that the next step needs, under `nextKey.i` and `nextValue.i`
 */
export function cachedAttention(
  inputs: Record<string, Tensor>,
  { heads, keyValueHeads, headWidth }: Dimensions,
  keep: Tensor,
  present: Record<string, Tensor>,
): ForwardContext['attend'] {
  const shared = heads / keyValueHeads
  const scale = 1 / Math.sqrt(headWidth)
  return (layer, q, k, v) => {
    const [rows] = q.shape
    const query = transpose(reshape(q, [rows, keyValueHeads, shared, headWidth]), [1, 0, 2, 3])
    const own = (x: Tensor, name: string) => {
      const fresh = reshape(transpose(reshape(x, [rows, keyValueHeads, headWidth]), [1, 0, 2]), [
        keyValueHeads,
        rows,
        1,
        headWidth,
      ])
      const all = concat([gather(inputs[`past${name}.${layer}`], keep, 1), fresh], 2)
      present[`next${name}.${layer}`] = all
      return all // [keyValueHeads, rows, steps + 1, headWidth]
    }
    const [keys, values] = [own(k, 'Key'), own(v, 'Value')]
    const prompt = inputs[`promptKey.${layer}`].shape[1]
    const folded = [keyValueHeads, productOfDims(rows, shared), headWidth]
    const toPrompt = matmul(reshape(query, folded), inputs[`promptKey.${layer}`], { transposeB: true, scale })
    const scores = [
      reshape(toPrompt, [keyValueHeads, rows, shared, prompt]),
      matmul(query, keys, { transposeB: true, scale }), // [keyValueHeads, rows, shared, steps + 1]
    ]
    const weights = split(
      softmax(concat(scores, -1)),
      scores.map((score) => score.shape[3]),
      -1,
    )
    const fromPrompt = matmul(reshape(weights[0], [folded[0], folded[1], prompt]), inputs[`promptValue.${layer}`])
    const mixed = add(matmul(weights[1], values), reshape(fromPrompt, [keyValueHeads, rows, shared, headWidth]))
    return reshape(transpose(mixed, [1, 0, 2, 3]), [rows, heads * headWidth])
  }
}
