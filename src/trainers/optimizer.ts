/** @file AdamW (Loshchilov and Hutter 2019) with clipping by the global norm, as PyTorch computes them. */
import type { Schedule } from '../gflownet/schedules.ts'
import { float32, type HostTensor, type NamedTensors } from '../runtime/host-tensor.ts'

export type AdamWConfig = {
  /** By the number of updates done before this one: the first update has step 0. */
  learningRate: Schedule
  /** Decay of the running means of the gradient and of its square. */
  betas: readonly [number, number]
  /** Added to the root of the second moment, outside of it. */
  epsilon: number
  /** Decoupled: each update shrinks the parameters by learningRate · weightDecay. */
  weightDecay: number
  /** Gradients are scaled down to this norm over all parameters together; null: never. */
  maxGradientNorm: number | null
}

/** The updates done, and the running means of each parameter's gradient and squared gradient, without bias correction. */
export type AdamWState = { step: number; first: NamedTensors; second: NamedTensors }

/** What an update gives: `gradientNorm` is that of all gradients together, before clipping. */
export type AdamWUpdate = { parameters: NamedTensors; state: AdamWState; gradientNorm: number }

export type AdamW = {
  /** The state before the first update: zeros. */
  initialState(parameters: NamedTensors): AdamWState
  /**
   * One update of float32 parameters. The arrays of `parameters` and of `state` are overwritten and handed on in the
   * result (three new ones of an adapter's size, every step, would cost more than the arithmetic): use the result, and copy
   * what must stay. Where the gradient norm is not finite nothing changes and no step is counted; the norm tells.
   * @throws Error where parameters, gradients and state do not have the same names and sizes
   */
  update(parameters: NamedTensors, gradients: NamedTensors, state: AdamWState): AdamWUpdate
}

export function adamW(config: AdamWConfig): AdamW {
  return {
    initialState: (parameters) => ({ step: 0, first: zerosLike(parameters), second: zerosLike(parameters) }),
    update(parameters, gradients, state) {
      requireSameNames(parameters, gradients)
      const gradientNorm = globalNorm(gradients)
      if (!Number.isFinite(gradientNorm)) return { parameters, state, gradientNorm }

      const step = state.step + 1
      const scales = {
        gradient: clippingScale(gradientNorm, config.maxGradientNorm),
        learningRate: config.learningRate(state.step),
        firstCorrection: 1 - config.betas[0] ** step,
        secondCorrectionRoot: Math.sqrt(1 - config.betas[1] ** step),
      }
      for (const name of Object.keys(parameters)) {
        const arrays = [parameters, gradients, state.first, state.second].map((tensors) => floats(name, tensors[name]))
        const [parameter, gradient, first, second] = arrays
        if (arrays.some(({ length }) => length !== parameter.length)) throw new Error(`sizes of "${name}" differ`)
        updateArray(parameter, gradient, first, second, config, scales)
      }
      return { parameters, state: { ...state, step }, gradientNorm }
    },
  }
}

type Scales = { gradient: number; learningRate: number; firstCorrection: number; secondCorrectionRoot: number }

/**
 * One parameter, element by element; all arrays of one length. Sums are in double precision, storage is float32. What is read from
 * an array is read once: every access is checked, and millions of them are a part of a short step that shows.
 */
function updateArray(
  parameter: Float32Array,
  gradient: Float32Array,
  first: Float32Array,
  second: Float32Array,
  { betas: [beta1, beta2], epsilon, weightDecay }: AdamWConfig,
  { gradient: gradientScale, learningRate, firstCorrection, secondCorrectionRoot: root }: Scales,
) {
  const keep = 1 - learningRate * weightDecay
  // both sides of the quotient times the root of the second correction
  const stepSize = (learningRate / firstCorrection) * root
  const least = epsilon * root
  const newFirst = 1 - beta1
  const newSecond = 1 - beta2
  const { length } = parameter
  for (let i = 0; i < length; i++) {
    const g = gradient[i] * gradientScale
    const before = first[i]
    const m = before + (g - before) * newFirst
    const v = second[i] * beta2 + g * g * newSecond
    first[i] = m
    second[i] = v
    parameter[i] = parameter[i] * keep - (stepSize * m) / (Math.sqrt(v) + least)
  }
}

/** √Σg² over all arrays together, summed in double precision. */
function globalNorm(gradients: NamedTensors): number {
  let sum = 0
  for (const [name, tensor] of Object.entries(gradients)) sum += sumOfSquares(floats(name, tensor))
  return Math.sqrt(sum)
}

/** Four sums side by side: an addition need not wait for the one before. */
function sumOfSquares(values: Float32Array): number {
  const whole = values.length - (values.length % 4)
  let a = 0
  let b = 0
  let c = 0
  let d = 0
  for (let i = 0; i < whole; i += 4) {
    const v = values[i]
    const w = values[i + 1]
    const x = values[i + 2]
    const y = values[i + 3]
    a += v * v
    b += w * w
    c += x * x
    d += y * y
  }
  for (let i = whole; i < values.length; i++) a += values[i] * values[i]
  return a + b + c + d
}

/** PyTorch's `clip_grad_norm_`: never above 1, and never a division by zero. */
const clippingScale = (norm: number, maxNorm: number | null) =>
  maxNorm === null ? 1 : Math.min(1, maxNorm / (norm + 1e-6))

const zerosLike = (parameters: NamedTensors): NamedTensors =>
  Object.fromEntries(Object.entries(parameters).map(([name, { shape }]) => [name, float32(shape)]))

function requireSameNames(parameters: NamedTensors, gradients: NamedTensors) {
  const missing = Object.keys(parameters).filter((name) => !(name in gradients))
  const unknown = Object.keys(gradients).filter((name) => !(name in parameters))
  if (missing.length) throw new Error(`no gradient of ${missing.join(', ')}`)
  if (unknown.length) throw new Error(`a gradient of ${unknown.join(', ')}, which is no parameter`)
}

function floats(name: string, tensor: HostTensor | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array))
    throw new Error(`"${name}" is ${tensor?.dtype ?? 'missing'}, not float32`)
  return tensor.data
}
