/** @file What an op is: the type of its outputs, its ONNX emission and its gradient rule, together in one value. */
import type { OnnxBuilder } from './onnx.ts'
import type { Node, Tensor, TensorType } from './tensor.ts'

/** What a gradient rule is given. `upstream[i]` is the gradient of output i; where nothing flows back it is undefined. */
export type GradientContext<Attributes> = {
  inputs: readonly Tensor[]
  outputs: readonly Tensor[]
  /** The only output, for the many ops that have one. */
  output: Tensor
  upstreams: readonly (Tensor | undefined)[]
  /** Gradient of the first output. */
  upstream: Tensor
  attributes: Attributes
}

export type OpDefinition<Attributes> = {
  /** Types of the outputs. @throws Error where the inputs do not fit together */
  outputs: (inputs: readonly Tensor[], attributes: Attributes) => TensorType[]
  /** Adds ONNX nodes and returns the names of the outputs; any name for one that is not used. */
  emit: (
    onnx: OnnxBuilder,
    inputs: readonly string[],
    attributes: Attributes,
    node: Node,
    isUsed: (output: number) => boolean,
  ) => string[]
  /** One gradient per input, undefined where there is none; 'none' for an op that has no derivative (comparisons). */
  gradient: ((context: GradientContext<Attributes>) => (Tensor | undefined)[]) | 'none'
}

/** An op without its attributes' type: what graphs hold. */
export type Op = { readonly name: string } & OpDefinition<never>

/** Applies the op; `all` gives every output, for ops that have several. */
export type OpFunction<Attributes> = {
  (inputs: readonly Tensor[], attributes: Attributes): Tensor
  all(inputs: readonly Tensor[], attributes: Attributes): readonly Tensor[]
  readonly op: Op
}

/** Makes an op from its definition. */
export function defineOp<Attributes = undefined>(
  name: string,
  definition: OpDefinition<Attributes>,
): OpFunction<Attributes> {
  const op = { name, ...definition } as Op
  const all = (inputs: readonly Tensor[], attributes: Attributes): readonly Tensor[] => {
    const outputs: Tensor[] = []
    const node: Node = { op, inputs, attributes, outputs }
    for (const type of definition.outputs(inputs, attributes)) outputs.push({ node, output: outputs.length, ...type })
    return outputs
  }
  return Object.assign((inputs: readonly Tensor[], attributes: Attributes) => all(inputs, attributes)[0], { all, op })
}
