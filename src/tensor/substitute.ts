/** @file Other values in the place of some of a graph's: what computed those is then read by nobody. */
import { type Node, nodesInOrder, type Tensor } from './tensor.ts'

/**
 * The same tensors, computed from replacements wherever a replaced one was read.
 * @param replacements  of the same type each; one may itself depend on others that are replaced, but not on what it replaces
 */
export function substitute<Names extends string>(
  tensors: Record<Names, Tensor>,
  replacements: ReadonlyMap<Tensor, Tensor>,
): Record<Names, Tensor> {
  const instead = (tensor: Tensor) => replacements.get(tensor) ?? tensor
  const inputsOf = ({ inputs }: Node) => inputs.map(instead)
  const copies = new Map<Node, Node>()
  const copied = (tensor: Tensor): Tensor => {
    const { node, output } = instead(tensor)
    return copies.get(node)!.outputs[output]
  }
  const entries = Object.entries(tensors) as [Names, Tensor][]
  for (const node of nodesInOrder(
    entries.map(([, tensor]) => instead(tensor)),
    inputsOf,
  )) {
    const outputs: Tensor[] = []
    const isSame = node.inputs.every((input) => copied(input) === input)
    const copy: Node = isSame ? node : { ...node, inputs: node.inputs.map(copied), outputs }
    if (!isSame) for (const output of node.outputs) outputs.push({ ...output, node: copy })
    copies.set(node, copy)
  }
  return Object.fromEntries(entries.map(([name, tensor]) => [name, copied(tensor)])) as Record<Names, Tensor>
}
