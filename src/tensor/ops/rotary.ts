/** @file Rotary position embedding (Su et al. 2021), on the half-split layout of Llama. */
import { defineOp, type OpFunction } from '../define-op.ts'
import { CONTRIB } from '../onnx.ts'
import { shapeError } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import { neg } from './elementwise.ts'

export const rotaryOp: OpFunction<{ heads: number }> = defineOp<{ heads: number }>('rotary', {
  outputs: ([x, positions]) => {
    if (x.shape.length !== 2 || x.shape[0] !== positions.shape[0])
      throw shapeError('rotary expects [tokens, width] and [tokens]', x.shape, positions.shape)
    return [{ shape: x.shape, dtype: x.dtype }]
  },
  emit: (onnx, [x, positions, cos, sin], { heads }, { inputs }) => {
    // Each token is a sequence of its own: the operator refuses sequences longer than the table of angles.
    const alone = (name: string) => onnx.node('Unsqueeze', [name, onnx.shape([1])])
    const attributes = { num_heads: heads, rotary_embedding_dim: 0 }
    const rotated = onnx.node('RotaryEmbedding', [alone(x), alone(positions), cos, sin], attributes, CONTRIB)
    return [onnx.node('Reshape', [rotated, onnx.shape([-1, inputs[0].shape[1]])])]
  },
  // a rotation's transpose is the rotation back
  gradient: ({ inputs: [, positions, cos, sin], upstream, attributes }) => [
    rotaryOp([upstream, positions, cos, neg(sin)], attributes),
    undefined,
    undefined,
    undefined,
  ],
})

/** Each head of x [tokens, heads·headWidth] turned by its token's position; cos and sin [positions, headWidth/2]. */
export const rotary = (x: Tensor, positions: Tensor, cos: Tensor, sin: Tensor, heads: number): Tensor =>
  rotaryOp([x, positions, cos, sin], { heads })
