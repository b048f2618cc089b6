/** @file Gradients as outputs of a learn step's program, told from its other outputs by their names. */
import type { Recomputation } from '../models/architecture.ts'
import type { NamedTensors } from '../runtime/host-tensor.ts'
import { gradients } from '../tensor/gradient.ts'
import { isActivation } from '../tensor/ops/activation.ts'
import type { Checkpoint } from '../tensor/ops/checkpoint.ts'
import type { Node, Tensor } from '../tensor/tensor.ts'

const PREFIX = 'gradient of '

/** The gradients of a loss in some inputs of a program, as outputs. */
export function gradientOutputs(
  loss: Tensor,
  inputs: Record<string, Tensor>,
  names: readonly string[],
  recompute: Recomputation,
): Record<string, Tensor> {
  const of = names.map((name) => inputs[name])
  const slopes = gradients(loss, of, HELD[recompute])
  return Object.fromEntries(names.map((name, i) => [`${PREFIX}${name}`, slopes[i]]))
}

/** The same after a run, by the names of the inputs. */
export const gradientsIn = (outputs: NamedTensors): NamedTensors =>
  Object.fromEntries(
    Object.entries(outputs).flatMap(([name, value]) =>
      name.startsWith(PREFIX) ? [[name.slice(PREFIX.length), value]] : [],
    ),
  )

const isCheckpoint = ({ op, attributes }: Node, ...of: Checkpoint[]) =>
  ['logNormaliser', 'logSumExp'].includes(op.name) || // the head is wider than any layer: its logits are made once
  (op.name === 'checkpoint' && of.includes((attributes as { of: Checkpoint }).of))

/**
 * An activation function's result, or a gate's product with it: as wide as the widest layer, and made again from what is held
 * anyhow in two passes over it.
 */
const isActivated = (node: Node) =>
  isActivation(node) || (node.op.name === 'mul' && node.inputs.some((input) => isActivation(input.node)))

const allButActivated = (node: Node) => !isActivated(node)

/** Which values of the forward pass are held for the backward pass. */
const HELD: Record<Recomputation, (node: Node) => boolean> = {
  nothing: allButActivated,
  sampled: allButActivated,
  cheap: (node) => isCheckpoint(node, 'layer', 'linear'),
  layers: (node) => isCheckpoint(node, 'layer'),
}
