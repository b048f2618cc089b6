/** @file A symbolic tensor: a value that some op will compute, known by its shape and type. Plain data. */
import type { DType } from '../runtime/host-tensor.ts'
import type { Op } from './define-op.ts'
import type { Shape } from './shape.ts'

/** One output of an op applied to its inputs. */
export type Tensor = { readonly node: Node; readonly output: number; readonly shape: Shape; readonly dtype: DType }

/** An op applied to its inputs. Most have one output. */
export type Node = {
  readonly op: Op
  readonly inputs: readonly Tensor[]
  readonly attributes: unknown
  readonly outputs: readonly Tensor[]
}

/** What is known of a value before it is computed. */
export type TensorType = { shape: Shape; dtype: DType }

/**
 * All nodes that the tensors depend on, inputs before users.
 * @param inputsOf  what a node depends on, where that is not its inputs
 */
export function nodesInOrder(
  roots: readonly Tensor[],
  inputsOf: (node: Node) => readonly Tensor[] = ({ inputs }) => inputs,
): Node[] {
  const seen = new Set<Node>()
  const order: Node[] = []
  const reached = (node: Node) => ({ node, inputs: inputsOf(node), next: 0 })
  const stack = roots.map(({ node }) => reached(node)).reverse()
  while (stack.length > 0) {
    const top = stack[stack.length - 1]
    if (top.next === 0 && seen.has(top.node)) stack.pop()
    else if (top.next < top.inputs.length) {
      seen.add(top.node)
      const { node } = top.inputs[top.next++]
      if (!seen.has(node)) stack.push(reached(node))
    } else {
      seen.add(top.node)
      order.push(top.node)
      stack.pop()
    }
  }
  return order
}
