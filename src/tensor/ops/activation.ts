/** @file Activation functions, each one node forward and a short composition backward. */
import { defineOp } from '../define-op.ts'
import { CONTRIB } from '../onnx.ts'
import type { Node, Tensor } from '../tensor.ts'
import { add, erf, exp, mul, sigmoid, sub, tanh } from './elementwise.ts'

export const siluOp = defineOp('silu', {
  outputs: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  emit: (onnx, [x]) => [onnx.node('QuickGelu', [x], { alpha: { float: 1 } }, CONTRIB)],
  // y' = σ + y·(1 − σ), from the output: x is not multiplied again
  gradient: ({ inputs: [x], output, upstream }) => {
    const s = sigmoid(x)
    return [mul(upstream, add(s, mul(output, sub(1, s))))]
  },
})

const SQRT_2_OVER_PI = Math.sqrt(2 / Math.PI)
const CUBIC = 0.044715

export const geluTanhOp = defineOp('geluTanh', {
  outputs: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  emit: (onnx, [x]) => [onnx.node('Gelu', [x], { approximate: 'tanh' })],
  // y = x/2·(1 + t), t = tanh(c·(x + a·x³)): y' = (1 + t)/2 + x/2·(1 − t²)·c·(1 + 3a·x²)
  gradient: ({ inputs: [x], upstream }) => {
    const squared = mul(x, x)
    const t = tanh(mul(mul(x, SQRT_2_OVER_PI), add(mul(squared, CUBIC), 1)))
    const slope = mul(mul(mul(x, SQRT_2_OVER_PI / 2), sub(1, mul(t, t))), add(mul(squared, 3 * CUBIC), 1))
    return [mul(upstream, add(mul(add(t, 1), 0.5), slope))]
  },
})

export const geluOp = defineOp('gelu', {
  outputs: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  emit: (onnx, [x]) => [onnx.node('Gelu', [x])],
  // y = x·Φ(x): y' = Φ(x) + x·φ(x) with the normal distribution's Φ = (1 + erf(x/√2))/2 and φ = exp(−x²/2)/√(2π)
  gradient: ({ inputs: [x], upstream }) => {
    const cumulative = mul(add(erf(mul(x, Math.SQRT1_2)), 1), 0.5)
    const density = mul(exp(mul(mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI))
    return [mul(upstream, add(cumulative, mul(x, density)))]
  },
})

const ops = [siluOp.op, geluTanhOp.op, geluOp.op]
/** Is it one of these? */
export const isActivation = ({ op }: Node): boolean => ops.includes(op)

/** x·σ(x): SiLU, the gate of Llama's feed-forward layer. */
export const silu = (x: Tensor): Tensor => siluOp([x], undefined)
/** GELU in its tanh approximation, GPT-2's "gelu_new". */
export const geluTanh = (x: Tensor): Tensor => geluTanhOp([x], undefined)
/** GELU by the error function. */
export const gelu = (x: Tensor): Tensor => geluOp([x], undefined)
