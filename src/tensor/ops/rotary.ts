/**
 * @file Rotary position embedding (Su et al. 2021): pairs of a head's elements turn by an angle that grows with the
 * token's position. The pairs are (i, i + half) in Llama, neighbours in GPT-J; elements after the last pair stay.
 */
import type { HostTensor } from '../../runtime/host-tensor.ts'
import { defineOp, type OpFunction } from '../define-op.ts'
import { CONTRIB } from '../onnx.ts'
import { type Dim, shapeError } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import { neg } from './elementwise.ts'

/** cos and sin of the angles by which each token's pairs turn, each [tokens, pairs]. */
export type Rotation = { cos: Tensor; sin: Tensor }

export const rotationOp = defineOp<{ frequencies: readonly number[]; scale: number }>('rotation', {
  // outputs: cos, sin
  outputs: ([positions], { frequencies }) => {
    const shape: Dim[] = [...positions.shape, frequencies.length]
    return [
      { shape, dtype: 'float32' },
      { shape, dtype: 'float32' },
    ]
  },
  emit: (onnx, [positions], { frequencies, scale }) => {
    // In double precision: at position 100,000 a float32 angle is off by 0.004 radians.
    const double = (shape: number[], values: readonly number[]): HostTensor => ({
      dtype: 'float64',
      shape,
      data: Float64Array.from(values),
    })
    const wide = onnx.node('Cast', [onnx.node('Unsqueeze', [positions, onnx.shape([1])])], {
      to: onnx.dataType('float64'),
    })
    const angles = onnx.node('Mul', [wide, onnx.constant(double([frequencies.length], frequencies))])
    const scaled = (x: string) => (scale === 1 ? x : onnx.node('Mul', [x, onnx.constant(double([], [scale]))]))
    return ['Cos', 'Sin'].map((type) =>
      onnx.node('Cast', [scaled(onnx.node(type, [angles]))], { to: onnx.dataType('float32') }),
    )
  },
  gradient: 'none',
})

/**
 * The rotation of tokens at given positions [tokens].
 * @param frequencies radians per position, one for each pair
 * @param scale what turned elements are multiplied by besides
 */
export function rotation(positions: Tensor, frequencies: readonly number[], scale = 1): Rotation {
  const [cos, sin] = rotationOp.all([positions], { frequencies, scale })
  return { cos, sin }
}

type Heads = { heads: number; interleaved: boolean }

export const rotaryOp: OpFunction<Heads> = defineOp<Heads>('rotary', {
  outputs: ([x, cos]) => {
    if (x.shape.length !== 2 || x.shape[0] !== cos.shape[0])
      throw shapeError('rotary expects [tokens, width] and [tokens, pairs]', x.shape, cos.shape)
    return [{ shape: x.shape, dtype: x.dtype }]
  },
  emit: (onnx, [x, cos, sin], { heads, interleaved }, { inputs }) => {
    const turned = 2 * Number(inputs[1].shape[1])
    const whole = turned * heads === inputs[0].shape[1]
    const attributes = {
      num_heads: heads,
      rotary_embedding_dim: whole ? 0 : turned,
      interleaved: Number(interleaved),
    }
    // The packed tokens are one sequence, and row i of the table is token i's own: positions count from 0.
    const first = onnx.shape([0])
    const sequence = onnx.node('Unsqueeze', [x, first])
    return [
      onnx.node('Squeeze', [onnx.node('RotaryEmbedding', [sequence, first, cos, sin], attributes, CONTRIB), first]),
    ]
  },
  // a rotation's transpose is the rotation back
  gradient: ({ inputs: [, cos, sin], upstream, attributes }) => [
    rotaryOp([upstream, cos, neg(sin)], attributes),
    undefined,
    undefined,
  ],
})

/** Each head of x [tokens, heads·headWidth] turned. `interleaved`: the pairs are neighbours. */
export const rotary = (x: Tensor, { cos, sin }: Rotation, heads: number, { interleaved = false } = {}): Tensor =>
  rotaryOp([x, cos, sin], { heads, interleaved })
