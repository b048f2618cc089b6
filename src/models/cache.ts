/**
 * @file Attention of the new tokens of rows to cached keys and values: those of the prompt, held once for all rows, and
 * those of the row's own earlier tokens. Usually a row has one new token. Where some have more, packed tokens are laid out on a
 * grid of rows, whose empty places stay in the cache and are seen by nobody.
 */
import { add, concat, gather, matmul, regroup, reshape, softmax, split, transpose } from '../tensor/ops/index.ts'
import { productOfDims, sumDims } from '../tensor/shape.ts'
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

/** Which packed token stands at each place of a grid, and its inverse (packing.ts); what a place sees of its row: 0 or −∞. */
export const gridInputs = {
  newRows: { dtype: 'int64', shape: ['rows', 'width'] },
  newPlaces: { dtype: 'int64', shape: ['tokens'] },
  visible: { dtype: 'float32', shape: ['rows', 'width', sumDims('steps', 'width')] },
} satisfies Record<string, TensorType>
export type Grid = { [Name in keyof typeof gridInputs]: Tensor }

/**
 * Attention of the new tokens of some rows.
 * @param keep  [rows], which of the rows before are still there: finished rows leave the batch
 * @param present  filled with the keys and values that the next step needs, under `nextKey.i` and `nextValue.i`
 * @param grid  where the tokens stand; without it each row has one new token, and no place of the cache is empty
 */
export function cachedAttention(
  inputs: Record<string, Tensor>,
  { heads, keyValueHeads, headWidth }: Dimensions,
  keep: Tensor,
  present: Record<string, Tensor>,
  grid?: Grid,
): ForwardContext['attend'] {
  const shared = heads / keyValueHeads
  const scale = 1 / Math.sqrt(headWidth)
  return (layer, q, k, v) => {
    const [rows, width] = grid ? grid.newRows.shape : [keep.shape[0], 1]
    const onGrid = (x: Tensor) => (grid ? regroup(x, grid.newRows, grid.newPlaces) : x) // [rows, width, …] or [rows, …]
    const perRow = productOfDims(shared, width)
    const spread = transpose(reshape(onGrid(q), [rows, width, keyValueHeads, shared, headWidth]), [2, 0, 3, 1, 4])
    const query = reshape(spread, [keyValueHeads, rows, perRow, headWidth])
    const own = (x: Tensor, name: string) => {
      const fresh = transpose(reshape(onGrid(x), [rows, width, keyValueHeads, headWidth]), [2, 0, 1, 3])
      const all = concat([gather(inputs[`past${name}.${layer}`], keep, 1), fresh], 2)
      present[`next${name}.${layer}`] = all
      return all // [keyValueHeads, rows, steps + width, headWidth]
    }
    const [keys, values] = [own(k, 'Key'), own(v, 'Value')]
    const prompt = inputs[`promptKey.${layer}`].shape[1]
    const folded = [keyValueHeads, productOfDims(rows, perRow), headWidth]
    const toPrompt = matmul(reshape(query, folded), inputs[`promptKey.${layer}`], { transposeB: true, scale })
    const toRow = matmul(query, keys, { transposeB: true, scale })
    const scores = [
      reshape(toPrompt, [keyValueHeads, rows, perRow, prompt]),
      grid ? masked(toRow, grid.visible, shared) : toRow, // [keyValueHeads, rows, perRow, steps]
    ]
    const weights = split(
      softmax(concat(scores, -1)),
      scores.map((score) => score.shape[3]),
      -1,
    )
    const fromPrompt = matmul(reshape(weights[0], [folded[0], folded[1], prompt]), inputs[`promptValue.${layer}`])
    const mixed = add(matmul(weights[1], values), reshape(fromPrompt, [keyValueHeads, rows, perRow, headWidth]))
    const apart = transpose(reshape(mixed, [keyValueHeads, rows, shared, width, headWidth]), [1, 3, 0, 2, 4])
    const attended = reshape(apart, [productOfDims(rows, width), heads * headWidth])
    return grid ? gather(attended, grid.newPlaces) : attended
  }
}

/** Scores [keyValueHeads, rows, shared · width, steps] of what is seen, and −∞ for the rest. */
function masked(scores: Tensor, visible: Tensor, shared: number): Tensor {
  const [keyValueHeads, , , steps] = scores.shape
  const [rows, width] = visible.shape
  const seen = add(
    reshape(scores, [keyValueHeads, rows, shared, width, steps]),
    reshape(visible, [1, rows, 1, width, steps]),
  )
  return reshape(seen, scores.shape)
}
