/**
 * @file Attention over packed tokens, as a tree: the prompt attends to itself; a latent to the prompt and to its own
 * earlier tokens, which may stand on another latent's row; a branch to the prompt, to the prefix that it follows and to
 * its own earlier tokens. Keys and values of the prompt exist once, and gradients through them sum by themselves.
 */
import { int64 } from '../runtime/host-tensor.ts'
import {
  add,
  concat,
  constant,
  expand,
  gather,
  greaterOrEqual,
  matmul,
  range,
  regroup,
  reshape,
  softmax,
  split,
  transpose,
  where,
} from '../tensor/ops/index.ts'
import { type Dim, productOfDims, sumDims } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Dimensions, ForwardContext } from './architecture.ts'
import type { branchInputs, latentInputs } from './packing.ts'

type Symbols<Types> = { [Name in keyof Types]: Tensor }
/** The arrays of packing.ts as symbols. */
export type Packing = Partial<Symbols<typeof latentInputs> & Symbols<typeof branchInputs>>
/** Keys and values of a prompt in one layer, [keyValueHeads, prompt, headWidth]. */
export type PromptStates = { key: Tensor; value: Tensor }
type Heads = Pick<Dimensions, 'heads' | 'keyValueHeads' | 'headWidth'>

/**
 * Tokens, positions and attention of a packed layout, ready for an architecture's forward pass.
 * @param cached  the prompt's keys and values in a layer, where it was read before; what is packed then begins with the latents
 */
export function packedForward(
  packing: Packing,
  dimensions: Heads,
  cached?: (layer: number) => PromptStates,
): Pick<ForwardContext, 'tokens' | 'positions' | 'attend'> {
  const { latentTokens, latentPositions, branchTokens, branchPositions } = packing
  const promptTokens = cached ? undefined : packing.promptTokens
  return {
    tokens: concatPresent([promptTokens, latentTokens, branchTokens], 0),
    positions: concatPresent([promptTokens && range(promptTokens.shape[0]), latentPositions, branchPositions], 0),
    attend: (layer, query, key, value) => treeAttention(packing, dimensions, { query, key, value }, cached?.(layer)),
  }
}

function treeAttention(
  packing: Packing,
  { heads, keyValueHeads, headWidth }: Heads,
  { query: q, key: k, value: v }: { query: Tensor; key: Tensor; value: Tensor },
  cached?: PromptStates,
) {
  const shared = heads / keyValueHeads // query heads that share a head of keys and values
  const [tokens] = q.shape
  const { latentRows, latentPlaces, latentContext, branchRows, branchPlaces, branchContext } = packing
  const promptTokens = cached ? undefined : packing.promptTokens
  const parts = [promptTokens, latentPlaces, branchPlaces].flatMap((part) => (part ? [part.shape[0]] : []))
  const scale = 1 / Math.sqrt(headWidth)

  // [keyValueHeads, tokens, shared·headWidth] and [keyValueHeads, tokens, headWidth]: heads that share keys stay side by side, so
  // that they are rows of one product, and what moves is as long as can be
  const ofHeads = (x: Tensor, width: number) =>
    split(transpose(reshape(x, [tokens, keyValueHeads, width]), [1, 0, 2]), parts, 1)
  const queryParts = ofHeads(q, shared * headWidth)
  const query = promptTokens ? queryParts : [undefined, ...queryParts]
  const [key, value] = [k, v].map((x, i) => [
    ...(cached ? [i === 0 ? cached.key : cached.value] : []),
    ...ofHeads(x, headWidth),
  ])
  const prompt = key[0].shape[1]

  const self = (rows: Tensor, places: Tensor, part: number, context: Tensor): Tensor => {
    const [count, length] = rows.shape
    const cells = productOfDims(count, length)
    const grid = [keyValueHeads, count, length, shared]
    const perRow = [keyValueHeads, count, productOfDims(length, shared)]
    const flat = [keyValueHeads, productOfDims(cells, shared)]
    const queries = regroup(query[part]!, rows, places, { axis: 1 })
    const [keys, values] = [key, value].map((x) => {
      const own = regroup(x[part], rows, places, { axis: 1 })
      return concat([gather(x[1], context, 1), own], 2) // [keyValueHeads, count, ancestors + length, headWidth]
    })
    const seen = keys.shape[2]
    const toPrompt = matmul(reshape(queries, [...flat, headWidth]), key[0], { transposeB: true, scale })
    const toRow = matmul(reshape(queries, [...perRow, headWidth]), keys, { transposeB: true, scale })
    const masked = add(reshape(toRow, [...grid, seen]), rowMask(length, shared, context))
    const weights = softmax(concat([reshape(toPrompt, [...grid, prompt]), masked], -1))
    const [onPrompt, onRow] = split(weights, [prompt, seen], -1)
    const fromPrompt = matmul(reshape(onPrompt, [...flat, prompt]), value[0])
    const fromRow = matmul(reshape(onRow, [...perRow, seen]), values)
    const mixed = add(fromRow, reshape(fromPrompt, [...perRow, headWidth]))
    const inverse = reshape(rows, [cells])
    const back = reshape(mixed, [keyValueHeads, cells, shared * headWidth])
    return regroup(back, places, inverse, { axis: 1, partial: true })
  }

  const ofPrompt = (asked: Tensor): Tensor => {
    const flat = [keyValueHeads, productOfDims(prompt, shared)]
    const scores = matmul(reshape(asked, [...flat, headWidth]), key[0], { transposeB: true, scale })
    const apart = reshape(scores, [keyValueHeads, prompt, shared, prompt])
    const weights = softmax(add(apart, causalMask(prompt, shared)))
    return reshape(matmul(reshape(weights, [...flat, prompt]), value[0]), asked.shape)
  }
  const outputs = [
    ...(query[0] ? [ofPrompt(query[0])] : []),
    ...(latentRows && latentPlaces && latentContext ? [self(latentRows, latentPlaces, 1, latentContext)] : []),
    ...(branchRows && branchPlaces && branchContext ? [self(branchRows, branchPlaces, 2, branchContext)] : []),
  ]
  return reshape(transpose(concatPresent(outputs, 1), [1, 0, 2]), [sumDims(...parts), heads * headWidth])
}

const NEVER = Number.NEGATIVE_INFINITY

// Masks are made once for all layers, with an axis of heads that share keys: to add along that axis is slow.

/** [length, shared, length]: 0 where the last index is no later than the first, −∞ elsewhere. */
function causalMask(length: Dim, shared: number): Tensor {
  const index = range(length)
  const isSeen = greaterOrEqual(reshape(index, [length, 1, 1]), reshape(index, [1, 1, length]))
  return expand(where(isSeen, 0, NEVER), [length, shared, length])
}

/** What a row's tokens may see of its ancestors (all that are there) and of itself: [rows, length, shared, context + length]. */
function rowMask(length: Dim, shared: number, context: Tensor): Tensor {
  const [rows, ancestors] = context.shape
  const present = greaterOrEqual(reshape(context, [rows, 1, 1, ancestors]), constant(int64([], [0])))
  const toAncestors = expand(where(present, 0, NEVER), [rows, length, shared, ancestors])
  return concat([toAncestors, expand(causalMask(length, shared), [rows, length, shared, length])], 3)
}

const concatPresent = (parts: readonly (Tensor | undefined)[], axis: number): Tensor =>
  concat(
    parts.filter((part) => part !== undefined),
    axis,
  )
