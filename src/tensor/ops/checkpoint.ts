/** @file Values from which parts of the forward pass can be computed again. */
import { defineOp } from '../define-op.ts'
import type { Tensor } from '../tensor.ts'

/** What enters a layer of the model, and what leaves a linear layer. */
export type Checkpoint = 'layer' | 'linear'

export const checkpointOp = defineOp<{ of: Checkpoint }>('checkpoint', {
  outputs: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  emit: (_onnx, [x]) => [x],
  gradient: ({ upstream }) => [upstream],
})

/** x itself, marked as a value to hold where others are computed again. */
export const checkpoint = (x: Tensor, of: Checkpoint): Tensor => checkpointOp([x], { of })
