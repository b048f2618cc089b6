/**
 * @file Counting the matrix work of programs: 2 · (elements of the result) · (summed extent) floating-point operations for
 * every MatMul (also of whole numbers), FusedMatMul and Gemm of a graph, at the sizes of the run. All else (normalisation, softmax, copies) counts as
 * nothing, so the rate says how well the processor is used, including what is lost to everything else.
 */
import { fromBinary } from '@bufbuild/protobuf'
import { type Lane, wrapRuns } from '../src/models/lane.ts'
import type { HostTensor } from '../src/runtime/host-tensor.ts'
import type { Program, ResidentTensor } from '../src/runtime/session.ts'
import { ModelProtoSchema, type ValueInfoProto } from '../src/tensor/onnx-proto.ts'
import { type Dim, dimValue, type Shape } from '../src/tensor/shape.ts'

type Product = { result: Shape; summed: Dim }
const INTEGER_PRODUCT = 'MatMulIntegerToFloat'
type Inputs = Record<string, HostTensor | ResidentTensor>

/** Operations of one run of the program, given what it is run on. */
export function matrixWork(program: Program): (inputs: Inputs) => number {
  const products = productsOf(program)
  return (inputs) => {
    const known: Record<string, number> = {}
    for (const [name, { shape }] of Object.entries(program.inputs))
      for (const [axis, dim] of shape.entries())
        if (typeof dim === 'string' && inputs[name]) known[dim] ??= inputs[name].shape[axis]
    return products.reduce(
      (sum, { result, summed }) =>
        sum + 2 * result.reduce((size: number, dim) => size * dimValue(dim, known), 1) * dimValue(summed, known),
      0,
    )
  }
}

function productsOf({ name, bytes }: Program): Product[] {
  const graph = fromBinary(ModelProtoSchema, bytes).graph!
  const shapes = new Map<string, Shape>()
  for (const info of [...graph.input, ...graph.output, ...graph.valueInfo]) shapes.set(info.name, shapeOf(info))
  for (const { name: constant, dims } of graph.initializer) shapes.set(constant, dims.map(Number))
  const shapeOfValue = (value: string) => {
    const shape = shapes.get(value)
    if (!shape) throw new Error(`${name}: the graph does not say the shape of ${value}`)
    return shape
  }
  return graph.node
    .filter(({ opType }) => ['MatMul', 'FusedMatMul', 'Gemm', INTEGER_PRODUCT].includes(opType))
    .map(({ opType, input, output, attribute }) => {
      // The whole numbers of its first factor are between an op's nodes, where no shapes are said.
      if (opType === INTEGER_PRODUCT) return { result: shapeOfValue(output[0]), summed: shapeOfValue(input[1])[0] }
      const transposed = attribute.some(({ name, i }) => name === 'transA' && i === 1n)
      return { result: shapeOfValue(output[0]), summed: shapeOfValue(input[0]).at(transposed ? -2 : -1)! }
    })
}

function shapeOf({ type }: ValueInfoProto): Shape {
  const { value } = type!
  if (value.case !== 'tensorType') return []
  return value.value.shape!.dim.map(({ value }) => (value.case === 'dimValue' ? Number(value.value) : value.value!))
}

/** A lane that adds the work of its runs to `counter.operations`. */
export function countingLane(lane: Lane, counter: { operations: number }): Lane {
  const session: Lane['session'] = (key, build) =>
    lane.session(key, () => {
      const program = build()
      works.set(key, matrixWork(program))
      return program
    })
  return wrapRuns({ ...lane, session }, (run, key) => (inputs, ...where) => {
    counter.operations += works.get(key)!(inputs)
    return run(inputs, ...where)
  })
}

const works = new Map<string, (inputs: Inputs) => number>()
