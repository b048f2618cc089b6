/** @file Reverse mode: walk the graph backwards, ask each op's rule, sum. */
import { add } from './ops/elementwise.ts'
import { constant } from './ops/source.ts'
import { sameShape, shapeError } from './shape.ts'
import { type Node, nodesInOrder, type Tensor } from './tensor.ts'

/**
 * The gradient of a scalar with respect to some tensors, as more graph. Rules are asked only on paths that lead to
 * `variables`, so frozen weights cost nothing.
 * @returns one tensor per variable, of its shape
 * @throws Error where a variable does not influence the scalar, or a path leads through an op without a derivative
 */
export function gradients(scalar: Tensor, variables: readonly Tensor[]): Tensor[] {
  if (scalar.shape.length !== 0) throw shapeError('only a scalar has a gradient', scalar.shape)
  const order = nodesInOrder([scalar])
  const wanted = new Set<Node>(variables.map(({ node }) => node))
  for (const node of order) if (node.inputs.some((input) => wanted.has(input.node))) wanted.add(node)

  const upstream = new Map<Node, (Tensor | undefined)[]>()
  const flow = (to: Tensor, gradient: Tensor) => {
    if (!sameShape(to.shape, gradient.shape))
      throw shapeError(`gradient of ${to.node.op.name}`, to.shape, gradient.shape)
    const slots = upstream.get(to.node) ?? upstream.set(to.node, []).get(to.node)!
    const earlier = slots[to.output]
    slots[to.output] = earlier ? add(earlier, gradient) : gradient
  }
  flow(scalar, constant(1))

  for (const node of order.reverse()) {
    const upstreams = upstream.get(node)
    if (!upstreams || !wanted.has(node) || node.inputs.length === 0) continue
    if (node.op.gradient === 'none')
      throw new Error(`${node.op.name} has no derivative, but a gradient was asked through it`)
    const { inputs, outputs } = node
    const context = {
      inputs,
      outputs,
      output: outputs[0],
      upstreams,
      upstream: upstreams[0]!,
      attributes: node.attributes,
    }
    const results = node.op.gradient(context as never)
    for (const [i, result] of results.entries()) if (result && wanted.has(inputs[i].node)) flow(inputs[i], result)
  }

  return variables.map((variable) => {
    const found = upstream.get(variable.node)?.[variable.output]
    if (!found)
      throw new Error(
        `the scalar does not depend on ${variable.node.op.name} ${JSON.stringify(variable.node.attributes)}`,
      )
    return found
  })
}
