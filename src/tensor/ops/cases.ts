/**
 * @file Inputs on which every op is checked: forward against plain numbers where the op is more than its name, and its
 * gradient against finite differences. An op without a case fails the test.
 */
import { bool, float32, type HostTensor, int64 } from '../../runtime/host-tensor.ts'
import type { Tensor } from '../tensor.ts'
import * as ops from './index.ts'

/** `differentiable` names the inputs whose gradients are checked; float32 inputs if absent. */
export type OpCase = {
  op: string
  inputs: Record<string, HostTensor>
  build: (inputs: Record<string, Tensor>) => Tensor
  expected?: readonly number[]
  differentiable?: readonly string[]
}

/** Fixed irregular numbers: no two alike, none at a kink. */
const numbers = (shape: number[], seed = 1, offset = 0) =>
  float32(
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(seed * 12.9 + i * 7.7) + offset),
  )

const x = numbers([2, 3])
const y = numbers([3], 2)
const positive = numbers([2, 3], 3, 1.5)
/** Two rows of 64 numbers in blocks; as float16 bits 0x3800 is a half, 0x3c00 is one, 0x4000 two, 0x4200 three. */
const halves = { dtype: 'float16', shape: [2, 2], data: Uint16Array.of(0x3800, 0x3c00, 0x4000, 0x4200) } as const
const wholes: HostTensor = {
  dtype: 'int8',
  shape: [2, 64],
  data: Int8Array.from({ length: 128 }, (_, i) => ((i * 37) % 15) - 7),
}
const nibbles: HostTensor = {
  dtype: 'uint8',
  shape: [2, 32],
  data: Uint8Array.from({ length: 64 }, (_, i) => (i * 89) % 256),
}
const zeroPoints: HostTensor = { dtype: 'uint8', shape: [2, 2], data: Uint8Array.of(0, 7, 8, 15) }
const steps = [0.5, 1, 2, 3]
const decoded = {
  int8: Array.from(wholes.data as Int8Array, (value, i) => value * steps[Math.floor(i / 32)]),
  int4: Array.from({ length: 128 }, (_, i) => {
    const byte = Number(nibbles.data[Math.floor(i / 64) * 32 + (i % 32)])
    const block = Math.floor(i / 32)
    return ((i % 64 < 32 ? byte & 15 : byte >> 4) - Number(zeroPoints.data[block])) * steps[block]
  }),
}
/** Vectors times a matrix given row by row. */
const product = (x: HostTensor, matrix: number[], transposed: boolean) => {
  const [rows, columns] = [2, matrix.length / 2]
  const [outputs, inner] = transposed ? [rows, columns] : [columns, rows]
  return Array.from({ length: x.shape[0] * outputs }, (_, i) => {
    const [row, output] = [Math.floor(i / outputs), i % outputs]
    const terms = Array.from({ length: inner }, (_, k) => {
      return Number(x.data[row * inner + k]) * matrix[transposed ? output * columns + k : k * columns + output]
    })
    return terms.reduce((a, b) => a + b)
  })
}
const storedInt8 = (parts: readonly Tensor[]) => ({ storage: 'int8', shape: [2, 64], parts }) as const
const storedInt4 = (parts: readonly Tensor[]) => ({ storage: 'int4', shape: [2, 64], parts }) as const

const last = <T>(list: readonly T[]) => list[list.length - 1]

const unary = (op: string, apply: (x: Tensor) => Tensor, of: (x: number) => number, input = x): OpCase => ({
  op,
  inputs: { x: input },
  build: ({ x }) => apply(x),
  expected: Array.from(input.data as Float32Array, of),
})
const binary = (
  op: string,
  apply: (a: Tensor, b: Tensor) => Tensor,
  of: (a: number, b: number) => number,
  a = x,
  b = y,
): OpCase => ({
  op,
  inputs: { a, b },
  build: ({ a, b }) => apply(a, b),
  expected: Array.from(a.data as Float32Array, (value, i) => of(value, Number(b.data[i % b.data.length]))),
})
const sigmoid = (v: number) => 1 / (1 + Math.exp(-v))

/** erf by its Taylor series, which is exact enough for the small numbers of the cases. */
const erf = (v: number) => {
  let [term, sum] = [v, v]
  for (let n = 1; n < 40; n++) {
    term *= (-v * v) / n
    sum += term / (2 * n + 1)
  }
  return (2 / Math.sqrt(Math.PI)) * sum
}

/** Heads of width four with their first pairs turned, from the definition. */
function turned(x: HostTensor, cos: HostTensor, sin: HostTensor, { interleaved }: { interleaved: boolean }) {
  const pairs = cos.shape[1]
  const [values, c, s] = [x, cos, sin].map(({ data }) => Array.from(data, Number))
  const result = [...values]
  for (let head = 0; head < values.length / 4; head++)
    for (let pair = 0; pair < pairs; pair++) {
      const angle = Math.floor(head / 2) * pairs + pair
      const first = 4 * head + (interleaved ? 2 * pair : pair)
      const second = first + (interleaved ? 1 : pairs)
      result[first] = values[first] * c[angle] - values[second] * s[angle]
      result[second] = values[second] * c[angle] + values[first] * s[angle]
    }
  return result
}

export const cases: OpCase[] = [
  binary('add', ops.add, (a, b) => a + b),
  binary('sub', ops.sub, (a, b) => a - b),
  binary('mul', ops.mul, (a, b) => a * b),
  binary('div', ops.div, (a, b) => a / b, x, numbers([3], 4, 2)),
  unary('neg', ops.neg, (v) => -v),
  unary('exp', ops.exp, Math.exp),
  unary('log', ops.log, Math.log, positive),
  unary('tanh', ops.tanh, Math.tanh),
  unary('sigmoid', ops.sigmoid, sigmoid),
  unary('softplus', ops.softplus, (v) => Math.log1p(Math.exp(v))),
  unary('silu', ops.silu, (v) => v * sigmoid(v)),
  unary('geluTanh', ops.geluTanh, (v) => (v / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))),
  unary('erf', ops.erf, erf),
  unary('gelu', ops.gelu, (v) => (v / 2) * (1 + erf(v / Math.SQRT2))),
  binary('add', ops.logAddExp, (a, b) => Math.log(Math.exp(a) + Math.exp(b))),
  binary(
    'greaterOrEqual',
    (a, b) => ops.toFloat(ops.greaterOrEqual(a, b)),
    (a, b) => Number(a >= b),
  ),
  binary(
    'less',
    (a, b) => ops.toFloat(ops.less(a, b)),
    (a, b) => Number(a < b),
  ),
  {
    op: 'where',
    inputs: { condition: bool([2, 3], [1, 0, 1, 0, 0, 1]), a: x, b: y },
    build: ({ condition, a, b }) => ops.where(condition, a, b),
  },
  { op: 'toFloat', inputs: { x: int64([2], [3, 4]) }, build: ({ x }) => ops.toFloat(x), expected: [3, 4] },
  ...[false, true].flatMap((transposeA) =>
    [false, true].map(
      (transposeB): OpCase => ({
        op: 'matmul',
        inputs: { a: numbers(transposeA ? [2, 4, 3] : [2, 3, 4]), b: numbers(transposeB ? [5, 4] : [4, 5], 2) },
        build: ({ a, b }) => ops.matmul(a, b, { transposeA, transposeB, scale: 0.5 }),
      }),
    ),
  ),
  {
    op: 'matmul', // leading axes broadcast on either side
    inputs: { a: numbers([3, 2, 1, 2]), b: numbers([3, 1, 2, 4], 2) },
    build: ({ a, b }) => ops.matmul(a, b),
  },
  { op: 'expand', inputs: { x: y }, build: ({ x }) => ops.expand(x, [2, 3]) },
  { op: 'sumTo', inputs: { x: numbers([2, 3, 4]) }, build: ({ x }) => ops.sumTo(x, [3, 1]) },
  { op: 'sumTo', inputs: { x }, build: ({ x }) => ops.sumAll(x) },
  { op: 'reshape', inputs: { x }, build: ({ x }) => ops.reshape(x, [3, 2]) },
  { op: 'range', inputs: { x }, build: ({ x }) => ops.mul(x, ops.toFloat(ops.range(3))) },
  { op: 'constant', inputs: { x }, build: ({ x }) => ops.mul(x, ops.constant(2)) },
  { op: 'input', inputs: { x }, build: ({ x }) => x },
  ...[1, 2, 9].map(
    (rowsAtOnce): OpCase => ({
      op: 'logNormaliser', // in parts of one row, two rows, and all at once; the second row does not count
      inputs: { x: numbers([2, 3]), matrix: numbers([5, 3], 4), bias: float32([5], [0.5, -Infinity, 0, 1, -1]) },
      build: ({ x, matrix, bias }) =>
        ops.logNormaliser(x, { storage: 'float32', shape: [5, 3], parts: [matrix] }, bias, rowsAtOnce),
      expected: logNormalisers(numbers([2, 3]), numbers([5, 3], 4), [0.5, -Infinity, 0, 1, -1]),
      differentiable: ['x'],
    }),
  ),
  { op: 'logSumExp', inputs: { x }, build: ({ x }) => ops.logSumExp(x) },
  ...[false, true].flatMap((exclusive) =>
    [false, true].map(
      (reverse): OpCase => ({
        op: 'runningSum',
        inputs: { x: float32([1, 3], [1, 2, 4]) },
        build: ({ x }) => ops.runningSumOp([x], { exclusive, reverse }),
        expected: [
          [1, 3, 7],
          [7, 6, 4],
          [0, 1, 3],
          [6, 4, 0],
        ][2 * Number(exclusive) + Number(reverse)],
      }),
    ),
  ),
  { op: 'softmax', inputs: { x }, build: ({ x }) => ops.softmax(x) },
  { op: 'logSoftmax', inputs: { x }, build: ({ x }) => ops.logSoftmax(x) },
  { op: 'rmsNorm', inputs: { x, weight: y }, build: ({ x, weight }) => ops.rmsNorm(x, weight, 1e-5) },
  {
    op: 'layerNorm',
    inputs: { x, weight: y, bias: numbers([3], 5) },
    build: ({ x, weight, bias }) => ops.layerNorm(x, weight, bias, 1e-5),
  },
  {
    op: 'gather', // row 1 is taken twice, row 0 never
    inputs: { x: numbers([3, 2]), index: int64([2, 2], [1, 2, 1, 2]) },
    build: ({ x, index }) => ops.gather(x, index),
  },
  {
    op: 'gather', // along another axis; −1 is the last
    inputs: { x: numbers([2, 3, 2]), index: int64([2, 2], [2, 0, 2, -1]) },
    build: ({ x, index }) => ops.gather(x, index, 1),
  },
  {
    op: 'scatterAdd',
    inputs: { updates: numbers([2, 2, 2, 3]), index: int64([2, 2], [1, 0, 1, 1]) },
    build: ({ updates, index }) => ops.scatterAdd(index, updates, [2, 4, 3], 1),
  },
  {
    op: 'scatterAdd',
    inputs: { updates: numbers([3, 2]), index: int64([3], [1, 1, 3]) },
    build: ({ updates, index }) => ops.scatterAdd(index, updates, [4, 2]),
  },
  {
    op: 'regroup', // five elements into two rows of three; the last place is padding and must not be looked at
    inputs: {
      x: numbers([2, 5]),
      index: int64([2, 3], [4, 2, 0, 1, 3, 0]),
      inverse: int64([5], [2, 3, 1, 4, 0]),
      mask: bool([2, 3], [1, 1, 1, 1, 1, 0]),
    },
    build: ({ x, index, inverse, mask }) => ops.where(mask, ops.regroup(x, index, inverse, { axis: 1 }), 0),
  },
  {
    op: 'regroup', // back again: one element has no place
    inputs: { x: numbers([6, 2]), index: int64([5], [2, 3, 1, 4, 0]), inverse: int64([6], [4, 2, 0, 1, 3, -1]) },
    build: ({ x, index, inverse }) => ops.regroup(x, index, inverse, { partial: true }),
  },
  { op: 'transpose', inputs: { x: numbers([2, 3, 4]) }, build: ({ x }) => ops.transpose(x, [2, 0, 1]) },
  { op: 'concat', inputs: { a: x, b: numbers([2, 2]) }, build: ({ a, b }) => ops.concat([a, b], -1) },
  { op: 'split', inputs: { x }, build: ({ x }) => last(ops.split(x, [1, 2], 1)) },
  ...[false, true].flatMap((interleaved) =>
    [1, 2].map(
      (pairs): OpCase => ({
        op: 'rotary', // two heads of width four, of which the first elements or all are turned
        inputs: { x: numbers([3, 8]), cos: numbers([3, pairs], 6), sin: numbers([3, pairs], 7) },
        build: ({ x, cos, sin }) => ops.rotary(x, { cos, sin }, 2, { interleaved }),
        expected: turned(numbers([3, 8]), numbers([3, pairs], 6), numbers([3, pairs], 7), { interleaved }),
        differentiable: ['x'],
      }),
    ),
  ),
  ...(['cos', 'sin'] as const).map(
    (part): OpCase => ({
      op: 'rotation', // exact also at positions where a float32 angle would not be
      inputs: { positions: int64([3], [2, 0, 131_071]) },
      build: ({ positions }) => ops.rotation(positions, [1, 0.3], 0.5)[part],
      expected: [2, 0.6, 0, 0, 131_071, 0.3 * 131_071].map((angle) => 0.5 * Math[part](angle)),
    }),
  ),
  {
    op: 'storedProduct',
    inputs: { x: numbers([3, 64]), values: wholes, scale: halves },
    build: ({ x, values, scale }) => ops.storedProduct(x, storedInt8([values, scale])),
    expected: product(numbers([3, 64]), decoded.int8, true),
    differentiable: ['x'],
  },
  {
    op: 'storedProduct',
    inputs: { x: numbers([3, 2]), values: nibbles, scale: halves, zero: zeroPoints },
    build: ({ x, values, scale, zero }) =>
      ops.storedProductOp([x, values, scale, zero], { storage: 'int4', shape: [2, 64], transposed: false }), // as a gradient has it
    expected: product(numbers([3, 2]), decoded.int4, false),
    differentiable: ['x'],
  },
  {
    op: 'storedRows',
    inputs: { ids: int64([3], [1, 0, 1]), values: nibbles, scale: halves, zero: zeroPoints },
    build: ({ ids, values, scale, zero }) => ops.storedRows(storedInt4([values, scale, zero]), ids),
    expected: [1, 0, 1].flatMap((row) => decoded.int4.slice(64 * row, 64 * row + 64)),
    differentiable: [],
  },
  {
    op: 'storedRows',
    inputs: { ids: int64([2], [1, 0]), values: { dtype: 'float16', shape: [2, 2], data: halves.data } },
    build: ({ ids, values }) => ops.storedRows({ storage: 'float16', shape: [2, 2], parts: [values] }, ids),
    expected: [2, 3, 0.5, 1],
    differentiable: [],
  },
  {
    op: 'storedValues',
    inputs: { values: wholes, scale: halves },
    build: ({ values, scale }) => ops.storedValues(storedInt8([values, scale])),
    expected: decoded.int8,
    differentiable: [],
  },
  {
    // Rows whose numbers are whole multiples of a 127th of their largest, and too odd in number to be turned: nothing is rounded.
    op: 'integerProduct',
    inputs: {
      x: float32([3, 3], [127, -3, 0, 0.5 * -64, 0.5 * 127, 0.5, 0, 0, 0]),
      values: { dtype: 'int8', shape: [3, 2], data: Int8Array.of(1, -2, 4, 5, 127, -127) },
      scale: float32([2], [1, 0.5]),
    },
    build: ({ x, values, scale }) => ops.integerProduct(x, { values, scale }),
    expected: [
      ...[127 * 1 - 3 * 4, (127 * -2 - 3 * 5) / 2],
      ...[(-64 * 1 + 127 * 4 + 127) / 2, (-64 * -2 + 127 * 5 - 127) / 4],
      ...[0, 0],
    ],
    differentiable: [],
  },
  ...([0, 1] as const).flatMap((axis): OpCase[] => [
    {
      op: 'turned',
      inputs: { x: float32([2, 2], [3, 1, -2, 5]) },
      build: ({ x }) => ops.turnedOp([x], { axis }),
      expected: (axis === 1 ? [4, 2, 3, -7] : [1, 6, 5, -4]).map((value) => value / Math.SQRT2),
    },
    {
      op: 'rounded', // times its scale, which differs between processors; one row or column is all zeros
      inputs: { x: axis === 1 ? float32([3, 2], [2, -2, 0, 0, -0.3, 0]) : float32([2, 3], [2, 0, -0.3, -2, 0, 0]) },
      build: ({ x }) => {
        const [whole, scale] = ops.roundedOp.all([x], { axis })
        return ops.mul(ops.toFloat(whole), ops.reshape(scale, axis === 1 ? [3, 1] : [1, 3]))
      },
      expected: axis === 1 ? [2, -2, 0, 0, -0.3, 0] : [2, 0, -0.3, -2, 0, 0],
      differentiable: [],
    },
  ]),
  unary(
    'checkpoint',
    (x) => ops.checkpoint(x, 'layer'),
    (v) => v,
  ),
  { op: 'afterwards', inputs: { x, y }, build: ({ x, y }) => ops.afterwards(x, y), differentiable: ['x'] },
  {
    op: 'addProduct',
    inputs: { c: numbers([2, 4], 5), x, b: numbers([4, 3], 6) },
    build: ({ c, x, b }) => ops.addProduct(c, x, b, { transposeB: true, scale: 0.5 }),
  },
  {
    op: 'addProduct',
    inputs: { c: numbers([3, 4], 5), x, b: numbers([2, 4], 6) },
    build: ({ c, x, b }) => ops.addProduct(c, x, b, { transposeA: true }),
  },
  {
    op: 'draw', // probabilities ½, 0, ¼, ¼
    inputs: {
      logits: float32([1, 4], [Math.log(2), Number.NEGATIVE_INFINITY, 0, 0]),
      uniform: { dtype: 'float64', shape: [5, 1], data: Float64Array.from([0, 0.49, 0.5, 0.74, 0.76]) },
      of: int64([5], [0, 0, 0, 0, 0]),
    },
    build: ({ logits, uniform, of }) => ops.toFloat(ops.draw(logits, uniform, of)),
    expected: [0, 0, 2, 2, 3],
  },
  {
    op: 'draw', // from rows in another order than theirs, and from one of them twice
    inputs: {
      logits: float32([3, 2], [0, Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0, 0]),
      uniform: { dtype: 'float64', shape: [4, 1], data: Float64Array.from([0.6, 0.6, 0.6, 0.4]) },
      of: int64([4], [2, 1, 0, 2]),
    },
    build: ({ logits, uniform, of }) => ops.toFloat(ops.draw(logits, uniform, of)),
    expected: [1, 1, 0, 0],
  },
  {
    op: 'draw', // over several blocks: all mass on three tokens far apart, ¼, ½ and ¼, and none after the last of them
    inputs: {
      uniform: { dtype: 'float64', shape: [6, 1], data: Float64Array.from([0, 0.24, 0.25, 0.74, 0.75, 1 - 2 ** -53]) },
      of: int64([6], [0, 0, 0, 0, 0, 0]),
      logits: float32(
        [1, 1000],
        Array.from(
          { length: 1000 },
          (_, token) => ({ 3: 0, 300: Math.log(2), 301: 0 })[token] ?? Number.NEGATIVE_INFINITY,
        ),
      ),
    },
    build: ({ logits, uniform, of }) => ops.toFloat(ops.draw(logits, uniform, of)),
    expected: [3, 3, 300, 300, 301, 301],
  },
]

/** log Σ exp of x·Mᵀ + b for every row of x. */
function logNormalisers(x: HostTensor, matrix: HostTensor, bias: readonly number[]): number[] {
  const [queries, width] = x.shape
  const product = (q: number, row: number) =>
    Array.from(
      { length: width },
      (_, k) => Number(x.data[q * width + k]) * Number(matrix.data[row * width + k]),
    ).reduce((a, b) => a + b)
  return Array.from({ length: queries }, (_, q) =>
    Math.log(bias.reduce((sum, b, row) => sum + Math.exp(product(q, row) + b), 0)),
  )
}
