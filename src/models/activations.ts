/** @file Activation functions by the names that config.json has for them; several names mean the same function. */
import { z } from 'zod'
import { gelu, geluTanh, silu } from '../tensor/ops/index.ts'

export const activations = {
  silu,
  swish: silu,
  gelu,
  gelu_python: gelu,
  gelu_new: geluTanh,
  gelu_fast: geluTanh,
  gelu_accurate: geluTanh,
  gelu_pytorch_tanh: geluTanh,
}

export type ActivationName = keyof typeof activations

/** The name of an activation in a config.json. */
export const activationName = z.enum(Object.keys(activations) as [ActivationName, ...ActivationName[]])
