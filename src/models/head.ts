/**
 * @file From hidden states to log-probabilities of tokens. Logits are made only where a next token is asked for, and the
 * logit of a chosen token is one row of the head times one hidden state, so that [tokens, vocabulary] feeds one
 * log-sum-exp and nothing else.
 */
import {
  add,
  gather,
  logAddExp,
  logSumExp,
  matmul,
  mul,
  type StoredMatrix,
  storedProduct,
  storedRows,
  sub,
  sumLast,
  where,
} from '../tensor/ops/index.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import type { ModelDescription } from './architecture.ts'
import { frozenMatrix, weightInputs } from './frozen.ts'

/** The matrix [vocabulary, width] that turns hidden states into logits. */
export type Head = StoredMatrix

export const headOf = (model: ModelDescription, inputs: Record<string, Tensor>): Head =>
  frozenMatrix(model, inputs, model.head)

/** The types of the head's arrays, as inputs of a program that needs no other weight. */
export const headInputs = (model: ModelDescription): Record<string, TensorType> =>
  Object.fromEntries(
    Object.entries(weightInputs(model)).filter(([name]) => name === model.head || name.startsWith(`${model.head}.`)),
  )

/** All logits, [queries, vocabulary]. */
export const logits = (hidden: Tensor, head: Head): Tensor => storedProduct(hidden, head, { transposed: true })

/** Logits of chosen tokens: token j is predicted from hidden state `from[j]`. → [pairs, 1] */
export const chosenLogits = (hidden: Tensor, head: Head, from: Tensor, tokens: Tensor): Tensor =>
  sumLast(mul(gather(hidden, from), storedRows(head, tokens)))

/** The logit of one token everywhere, [queries, 1]. */
export const logitOf = (token: Tensor, hidden: Tensor, head: Head): Tensor =>
  matmul(hidden, storedRows(head, token), { transposeB: true })

/** log Σ exp of all logits, [queries, 1]. */
export const logNormaliser = (hidden: Tensor, head: Head): Tensor => logSumExp(logits(hidden, head))

/** log p(token j | everything up to hidden state from[j]), [pairs, 1]. */
export const tokenLogProbabilities = (hidden: Tensor, head: Head, from: Tensor, tokens: Tensor): Tensor =>
  sub(chosenLogits(hidden, head, from, tokens), gather(logNormaliser(hidden, head), from))

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
  const others = logSumExp(add(logits(hidden, head), bias))
  return where(terminable, logAddExp(others, logitOfStop), others)
}
