/** @file Reverse mode: walk the graph backwards, ask each op's rule, sum. */
import { afterwards } from './ops/afterwards.ts'
import { add } from './ops/elementwise.ts'
import { constant } from './ops/source.ts'
import { sameShape, shapeError } from './shape.ts'
import { type Node, nodesInOrder, type Tensor } from './tensor.ts'

/**
 * The gradient of a scalar with respect to some tensors, as more graph. Rules are asked only on paths that lead to
 * `variables`, so frozen weights cost nothing.
 * @param keep which values of the forward pass are held until the backward pass needs them; the others are computed again
 * from those, just in time, which gives memory for time. Default: all are held.
 * @returns one tensor per variable, of its shape
 * @throws Error where a variable does not influence the scalar, or a path leads through an op without a derivative
 */
export function gradients(
  scalar: Tensor,
  variables: readonly Tensor[],
  keep: (node: Node) => boolean = () => true,
): Tensor[] {
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
  const recall = recalling(keep)

  for (const node of order.reverse()) {
    const upstreams = upstream.get(node)
    if (!upstreams || !wanted.has(node) || node.inputs.length === 0) continue
    if (node.op.gradient === 'none')
      throw new Error(`${node.op.name} has no derivative, but a gradient was asked through it`)
    const { inputs } = node
    const after = upstreams.find((upstream) => upstream !== undefined)!
    const outputs = node.outputs.map((output) => recall(output, after))
    const context = {
      inputs: inputs.map((input) => recall(input, after)),
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

/**
 * Values of the forward pass as the backward pass gets at them: held, or computed again from held ones once `after` is
 * there. A value is computed again at most once.
 */
function recalling(keep: (node: Node) => boolean): (value: Tensor, after: Tensor) => Tensor {
  const again = new Map<Node, readonly Tensor[]>()
  const late = new Map<Tensor, Tensor>()
  const isHeld = ({ node }: Tensor) => node.inputs.length === 0 || keep(node)

  const recall = (value: Tensor, after: Tensor): Tensor => {
    if (isHeld(value)) return value
    const { node } = value
    const known = again.get(node)
    if (known) return known[value.output]
    const inputs = node.inputs.map((input) => (isHeld(input) ? postpone(input, after) : recall(input, after)))
    const outputs: Tensor[] = []
    const copy: Node = { ...node, inputs, outputs }
    for (const output of node.outputs) outputs.push({ ...output, node: copy })
    again.set(node, outputs)
    return outputs[value.output]
  }
  /** Weights and other inputs are there from the beginning: what is computed from them alone need not be repeated. */
  const postpone = (value: Tensor, after: Tensor): Tensor => {
    if (value.node.inputs.length === 0) return value
    const known = late.get(value)
    if (known) return known
    const postponed = afterwards(value, after)
    late.set(value, postponed)
    return postponed
  }
  return recall
}
