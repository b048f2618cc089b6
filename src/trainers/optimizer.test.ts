import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { schedule, warmUp } from '../gflownet/schedules.ts'
import { float32, type NamedTensors } from '../runtime/host-tensor.ts'
import { type AdamWConfig, type AdamWState, adamW } from './optimizer.ts'

/** Eight updates by PyTorch, with warm-up and clipping. */
const golden = JSON.parse(readFileSync(new URL('../../test/golden/adamw.json', import.meta.url), 'utf8')) as {
  initial: number[][]
  lr: number
  betas: [number, number]
  eps: number
  weight_decay: number
  warmup_steps: number
  max_grad_norm: number
  steps: { gradients: number[][]; norm_before_clipping: number; parameters: number[][] }[]
}

const named = (arrays: number[][]): NamedTensors =>
  Object.fromEntries(arrays.map((values, i) => [`parameter ${i}`, float32([values.length], values)]))

/** The file's first and its expected values are each rounded to 7 digits, half of 1e-6 above 1; the rest is float32. */
const TOLERANCE = 1.2e-6

const plain: AdamWConfig = {
  learningRate: schedule(0.1, 8),
  betas: [0.9, 0.999],
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradientNorm: null,
}

test('eight updates with warm-up, decay and clipping equal those of PyTorch', () => {
  const optimizer = adamW({
    learningRate: warmUp(golden.warmup_steps, schedule(golden.lr, 8)),
    betas: golden.betas,
    epsilon: golden.eps,
    weightDecay: golden.weight_decay,
    maxGradientNorm: golden.max_grad_norm,
  })
  let parameters = named(golden.initial)
  let state = optimizer.initialState(parameters)
  for (const expected of golden.steps) {
    const result = optimizer.update(parameters, named(expected.gradients), state)
    ;({ parameters, state } = result)
    expect(result.gradientNorm).toBeCloseTo(expected.norm_before_clipping, 5)
    for (const [i, values] of expected.parameters.entries())
      for (const [j, value] of values.entries())
        expect(Math.abs(Number(parameters[`parameter ${i}`].data[j]) - value)).toBeLessThan(TOLERANCE)
  }
  expect(state.step).toBe(8)
})

test('the first update moves every parameter by the learning rate against the sign of its gradient', () => {
  const optimizer = adamW(plain)
  const parameters = named([[1, -2, 3]])
  const { gradientNorm } = optimizer.update(parameters, named([[3e-4, -40, 0]]), optimizer.initialState(parameters))
  const [a, b, c] = parameters['parameter 0'].data as Float32Array
  expect([a, b, c]).toEqual([expect.closeTo(0.9, 4), expect.closeTo(-1.9, 6), 3])
  expect(gradientNorm).toBeCloseTo(40, 5)
})

test('weight decay shrinks a parameter that has no gradient, by the learning rate times the decay', () => {
  const optimizer = adamW({ ...plain, weightDecay: 0.5 })
  const parameters = named([[2]])
  optimizer.update(parameters, named([[0]]), optimizer.initialState(parameters))
  expect(parameters['parameter 0'].data[0]).toBeCloseTo(2 * (1 - 0.1 * 0.5), 6)
})

test('clipping is by the norm of all gradients together and leaves small ones alone', () => {
  const firstMoments = (gradients: number[][], maxGradientNorm = 1) => {
    const optimizer = adamW({ ...plain, maxGradientNorm })
    const { state } = optimizer.update(named([[0], [0]]), named(gradients), optimizer.initialState(named([[0], [0]])))
    return [state.first['parameter 0'].data[0], state.first['parameter 1'].data[0]]
  }
  expect(firstMoments([[3], [4]])).toEqual([expect.closeTo(0.06, 6), expect.closeTo(0.08, 6)]) // (1 − β₁) · (3, 4) / 5
  expect(firstMoments([[0.3], [0.4]])).toEqual([expect.closeTo(0.03, 6), expect.closeTo(0.04, 6)])
  expect(Number(firstMoments([[1e-6], [0]], 1e-6)[0]) * 1e7).toBeCloseTo(0.5, 5) // PyTorch divides by norm + 1e-6
})

test('a norm of many small gradients is not lost to float32', () => {
  const optimizer = adamW(plain)
  const size = 2 ** 20
  const parameters = { a: float32([2]), b: float32([size]) }
  const gradients = { a: float32([2], [1e4, 0]), b: float32([size], new Float32Array(size).fill(1)) }
  const { gradientNorm } = optimizer.update(parameters, gradients, optimizer.initialState(parameters))
  expect(gradientNorm).toBeCloseTo(Math.sqrt(1e8 + size), 6) // 1e8 + 1 = 1e8 in float32
})

test.each([Number.NaN, Infinity])('a gradient of %s changes nothing and is told by the norm', (bad) => {
  const optimizer = adamW(plain)
  const parameters = named([[1, 2]])
  const state = optimizer.update(parameters, named([[1, 1]]), optimizer.initialState(parameters)).state
  const before = structuredClone({ parameters, state })
  const result = optimizer.update(parameters, named([[1, bad]]), state)
  expect(result.gradientNorm).toBe(bad)
  expect({ parameters: result.parameters, state: result.state }).toEqual(before)
})

test('going on from a copied state gives the same parameters, bit for bit', () => {
  const optimizer = adamW({ ...plain, learningRate: schedule({ from: 0.1, to: 0.01 }, 6), weightDecay: 0.01 })
  const gradients = (step: number) => named([[Math.sin(step), Math.cos(3 * step), 0.1]])
  const run = (from: number, to: number, start: { parameters: NamedTensors; state: AdamWState }) => {
    for (let step = from; step < to; step++) start = optimizer.update(start.parameters, gradients(step), start.state)
    return start
  }
  const fresh = () => ({ parameters: named([[1, 2, 3]]), state: optimizer.initialState(named([[1, 2, 3]])) })
  const { parameters, state } = run(0, 3, fresh())
  const resumed = run(3, 6, structuredClone({ parameters, state }))
  expect(resumed.parameters).toEqual(run(0, 6, fresh()).parameters)
})

test('names and sizes that do not fit are refused by name', () => {
  const optimizer = adamW(plain)
  const parameters = { a: float32([1]), b: float32([2]) }
  const state = optimizer.initialState(parameters)
  const update = (gradients: NamedTensors) => () => optimizer.update(parameters, gradients, state)
  expect(update({ a: float32([1]) })).toThrow('no gradient of b')
  expect(update({ ...parameters, c: float32([1]) })).toThrow('a gradient of c, which is no parameter')
  expect(update({ ...parameters, b: float32([3]) })).toThrow('sizes of "b" differ')
  expect(update({ ...parameters, b: { dtype: 'float64', shape: [2], data: new Float64Array(2) } })).toThrow(
    '"b" is float64',
  )
})
