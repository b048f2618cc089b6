/** @file Element by element, with numpy's broadcasting. Gradients of broadcast inputs are summed back to their shape. */
import { defineOp, type OpFunction } from '../define-op.ts'
import { broadcast } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import { constant, sumTo } from './source.ts'

type Operand = Tensor | number
const tensorOf = (x: Operand) => (typeof x === 'number' ? constant(x) : x)

/** A binary op from its ONNX name and its gradients before they are summed to the inputs' shapes. */
function binary(
  name: string,
  type: string,
  rule: (a: Tensor, b: Tensor, output: Tensor, upstream: Tensor) => [Tensor, Tensor],
): OpFunction<undefined> {
  return defineOp(name, {
    outputs: ([a, b]) => [{ shape: broadcast(a.shape, b.shape), dtype: a.dtype }],
    emit: (onnx, [a, b]) => [onnx.node(type, [a, b])],
    gradient: ({ inputs: [a, b], output, upstream }) => {
      const [da, db] = rule(a, b, output, upstream)
      return [sumTo(da, a.shape), sumTo(db, b.shape)]
    },
  })
}

/** A unary op from its ONNX name and its gradient. */
function unary(
  name: string,
  type: string,
  rule: (x: Tensor, output: Tensor, upstream: Tensor) => Tensor,
): OpFunction<undefined> {
  return defineOp(name, {
    outputs: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
    emit: (onnx, [x]) => [onnx.node(type, [x])],
    gradient: ({ inputs: [x], output, upstream }) => [rule(x, output, upstream)],
  })
}

/** A yes or no for every element; it has no derivative. */
function comparison(name: string, type: string): OpFunction<undefined> {
  return defineOp(name, {
    outputs: ([a, b]) => [{ shape: broadcast(a.shape, b.shape), dtype: 'bool' }],
    emit: (onnx, [a, b]) => [onnx.node(type, [a, b])],
    gradient: 'none',
  })
}

export const addOp = binary('add', 'Add', (_a, _b, _y, g) => [g, g])
export const subOp = binary('sub', 'Sub', (_a, _b, _y, g) => [g, neg(g)])
export const mulOp = binary('mul', 'Mul', (a, b, _y, g) => [mul(g, b), mul(g, a)])
export const divOp = binary('div', 'Div', (_a, b, y, g) => [div(g, b), neg(div(mul(g, y), b))])
export const negOp = unary('neg', 'Neg', (_x, _y, g) => neg(g))
export const expOp = unary('exp', 'Exp', (_x, y, g) => mul(g, y))
export const logOp = unary('log', 'Log', (x, _y, g) => div(g, x))
export const tanhOp = unary('tanh', 'Tanh', (_x, y, g) => mul(g, sub(1, mul(y, y))))
export const erfOp = unary('erf', 'Erf', (x, _y, g) => mul(g, mul(exp(neg(mul(x, x))), 2 / Math.sqrt(Math.PI))))
export const sigmoidOp = unary('sigmoid', 'Sigmoid', (_x, y, g) => mul(g, mul(y, sub(1, y))))
export const softplusOp = unary('softplus', 'Softplus', (x, _y, g) => mul(g, sigmoid(x))) // log(1 + eˣ), stable
export const greaterOrEqualOp = comparison('greaterOrEqual', 'GreaterOrEqual')
export const lessOp = comparison('less', 'Less')

export const whereOp = defineOp('where', {
  outputs: ([condition, a, b]) => [{ shape: broadcast(condition.shape, broadcast(a.shape, b.shape)), dtype: a.dtype }],
  emit: (onnx, [condition, a, b]) => [onnx.node('Where', [condition, a, b])],
  gradient: ({ inputs: [condition, a, b], upstream }) => [
    undefined,
    sumTo(where(condition, upstream, 0), a.shape),
    sumTo(where(condition, 0, upstream), b.shape),
  ],
})

export const toFloatOp = defineOp('toFloat', {
  outputs: ([x]) => [{ shape: x.shape, dtype: 'float32' }],
  emit: (onnx, [x]) => [onnx.node('Cast', [x], { to: onnx.dataType('float32') })],
  gradient: 'none',
})

export const add = (a: Operand, b: Operand): Tensor => addOp([tensorOf(a), tensorOf(b)], undefined)
export const sub = (a: Operand, b: Operand): Tensor => subOp([tensorOf(a), tensorOf(b)], undefined)
export const mul = (a: Operand, b: Operand): Tensor => mulOp([tensorOf(a), tensorOf(b)], undefined)
export const div = (a: Operand, b: Operand): Tensor => divOp([tensorOf(a), tensorOf(b)], undefined)
export const neg = (x: Tensor): Tensor => negOp([x], undefined)
export const exp = (x: Tensor): Tensor => expOp([x], undefined)
export const log = (x: Tensor): Tensor => logOp([x], undefined)
export const tanh = (x: Tensor): Tensor => tanhOp([x], undefined)
export const erf = (x: Tensor): Tensor => erfOp([x], undefined)
export const sigmoid = (x: Tensor): Tensor => sigmoidOp([x], undefined)
export const softplus = (x: Tensor): Tensor => softplusOp([x], undefined)
export const square = (x: Tensor): Tensor => mul(x, x)
/** a where the condition holds, b elsewhere. No gradient flows into the side that is not chosen, not even NaN. */
export const where = (condition: Tensor, a: Operand, b: Operand): Tensor =>
  whereOp([condition, tensorOf(a), tensorOf(b)], undefined)
export const greaterOrEqual = (a: Tensor, b: Tensor): Tensor => greaterOrEqualOp([a, b], undefined)
export const less = (a: Tensor, b: Tensor): Tensor => lessOp([a, b], undefined)
/** Whole numbers or yes/no as float32. */
export const toFloat = (x: Tensor): Tensor => toFloatOp([x], undefined)
/** log(eᵃ + eᵇ); a must be finite, b may be −∞. */
export const logAddExp = (a: Tensor, b: Tensor): Tensor => add(a, softplus(sub(b, a)))
