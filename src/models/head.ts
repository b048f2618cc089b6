/**
 * @file From hidden states to log-probabilities of tokens. Logits are made only where a next token is asked for, and the
 * logit of a chosen token is one row of the head times one hidden state, so that [tokens, vocabulary] feeds one
 * log-sum-exp and nothing else, and need not be there as a whole.
 */
import { trainedName } from '../adapters/every-weight.ts'
import type { LoraConfig } from '../adapters/lora.ts'
import {
  add,
  gather,
  logAddExp,
  logSumExp,
  logNormaliser as logSumExpOfProduct,
  matmul,
  mul,
  NORMALISED_ROWS,
  reshape,
  type StoredMatrix,
  storedProduct,
  storedRows,
  sumLast,
  where,
} from '../tensor/ops/index.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import type { ModelDescription } from './architecture.ts'
import { matrixOf, vectorOf, weightInputs } from './frozen.ts'
import { adapterInputs } from './linear.ts'

/** The layer that turns hidden states into logits: weight [vocabulary, width], bias [vocabulary] where it has one; `trained` where both are. */
export type Head = { weight: StoredMatrix; bias?: Tensor; trained?: boolean }

/** What a program needs that uses the head alone: that of the model, or of an adapter that has one. */
export function headInputs(model: ModelDescription, adapter?: LoraConfig): Record<string, TensorType> {
  const all = { ...weightInputs(model), ...(adapter?.everyWeight && adapterInputs(model, adapter)) }
  const isOf = (part: string | undefined) => (name: string) =>
    part !== undefined && (name === part || name.startsWith(`${part}.`))
  const [isWeight, isBias] = [isOf(model.head), isOf(model.headBias)]
  return Object.fromEntries(Object.entries(all).filter(([name]) => isWeight(name) || isBias(name)))
}

/** The head among a program's inputs. */
export const headOf = (model: ModelDescription, inputs: Record<string, Tensor>): Head => ({
  weight: matrixOf(model, inputs, model.head),
  ...(model.headBias && { bias: vectorOf(model, inputs, model.headBias) }),
  trained: inputs[trainedName(model.head)] !== undefined,
})

/** Logits of a query that `logNormaliser` has at a time: all of a trained head, a part of a frozen one. */
export const logitsAtOnce = (vocabulary: number, isTrained: boolean): number =>
  isTrained ? vocabulary : Math.min(vocabulary, NORMALISED_ROWS)

/** All logits, [queries, vocabulary]. */
export function logits(hidden: Tensor, { weight, bias }: Head): Tensor {
  const product = storedProduct(hidden, weight)
  return bias ? add(product, bias) : product
}

/** The logit of one token everywhere, [queries, 1]. */
export function logitOf(token: Tensor, hidden: Tensor, { weight, bias }: Head): Tensor {
  const product = matmul(hidden, storedRows(weight, token), { transposeB: true })
  return bias ? add(product, gather(bias, token)) : product
}

/** Logits of chosen tokens: token j is predicted from hidden state `from[j]`. → [pairs, 1] */
export function chosenLogits(hidden: Tensor, { weight, bias }: Head, from: Tensor, tokens: Tensor): Tensor {
  const product = sumLast(mul(gather(hidden, from), storedRows(weight, tokens)))
  return bias ? add(product, reshape(gather(bias, tokens), product.shape)) : product
}

/**
 * log Σ exp of all logits, [queries, 1]. A frozen head's logits are made a part at a time; the gradient of a trained one needs them all.
 * @param limits  [vocabulary], 0 for tokens that count and −∞ for the others
 */
export function logNormaliser(hidden: Tensor, head: Head, limits?: Tensor): Tensor {
  if (!head.trained) return logSumExpOfProduct(hidden, head.weight, sumPresent(head.bias, limits))
  const all = logits(hidden, head)
  return logSumExp(limits ? add(all, limits) : all)
}

const sumPresent = (a?: Tensor, b?: Tensor) => (a && b ? add(a, b) : (a ?? b))

/**
 * The normaliser of a policy under constraints: of all allowed tokens, and of ⊤ where the state may terminate.
 * @param bias  [vocabulary], 0 for allowed tokens and −∞ for the others and for ⊤
 * @param logitOfStop  [queries, 1]
 * @param terminable  [queries, 1], may the sequence end here?
 */
export function constrainedLogNormaliser(
  hidden: Tensor,
  head: Head,
  { bias, logitOfStop, terminable }: { bias: Tensor; logitOfStop: Tensor; terminable: Tensor },
): Tensor {
  const others = logNormaliser(hidden, head, bias)
  return where(terminable, logAddExp(others, logitOfStop), others)
}
