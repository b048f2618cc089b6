/**
 * @file From hidden states to log-probabilities of tokens. Logits are made only where a next token is asked for, and the
 * logit of a chosen token is one row of the head times one hidden state, so that [tokens, vocabulary] feeds one
 * log-sum-exp and nothing else.
 */
import { add, gather, logAddExp, logSumExp, matmul, mul, sumLast, where } from '../tensor/ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** Logits of chosen tokens: token j is predicted from hidden state `from[j]`. → [pairs, 1] */
export const chosenLogits = (hidden: Tensor, head: Tensor, from: Tensor, tokens: Tensor): Tensor =>
  sumLast(mul(gather(hidden, from), gather(head, tokens)))

/** log Σ exp of all logits, [queries, 1]. */
export const logNormaliser = (hidden: Tensor, head: Tensor): Tensor =>
  logSumExp(matmul(hidden, head, { transposeB: true }))

/**
 * The normaliser of a policy under constraints: of all allowed tokens, and of ⊤ where the state may terminate.
 * @param bias  [vocabulary], 0 for allowed tokens and −∞ for the others and for ⊤
 * @param logitOfStop  [queries, 1]
 * @param terminable  [queries, 1], may the sequence end here?
 */
export function constrainedLogNormaliser(
  hidden: Tensor,
  head: Tensor,
  { bias, logitOfStop, terminable }: { bias: Tensor; logitOfStop: Tensor; terminable: Tensor },
): Tensor {
  const others = logSumExp(add(matmul(hidden, head, { transposeB: true }), bias))
  return where(terminable, logAddExp(others, logitOfStop), others)
}
