/** @file Graph → ONNX bytes. Equal nodes are emitted once, unused ones not at all. */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import type { DType, HostTensor } from '../runtime/host-tensor.ts'
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from './onnx-proto.ts'
import { type Dim, dimTerms, type Shape } from './shape.ts'
import { nodesInOrder, type Tensor, type TensorType } from './tensor.ts'

const OPSET = 21
const CONTRIB_OPSET = 1
const IR_VERSION = 10n

const DATA_TYPES: Record<DType, number> = {
  float32: DataType.FLOAT,
  float16: DataType.FLOAT16,
  float64: DataType.DOUBLE,
  int64: DataType.INT64,
  int32: DataType.INT32,
  int8: DataType.INT8,
  uint8: DataType.UINT8,
  bool: DataType.BOOL,
}

/** An ONNX attribute: a whole number, a list of whole numbers, a string, or a real number marked as such. */
export type Attribute = number | readonly number[] | string | { float: number }

/** What an op's emission may use. Values are known by their ONNX names. */
export type OnnxBuilder = {
  /** Adds a node with one output, or reuses an equal one. */
  node(type: string, inputs: readonly string[], attributes?: Record<string, Attribute>, domain?: string): string
  /** The same for a node with several outputs. */
  nodes(
    type: string,
    inputs: readonly string[],
    outputs: number,
    attributes?: Record<string, Attribute>,
    domain?: string,
  ): string[]
  constant(tensor: HostTensor): string
  /**
   * Says the type of a value inside an op, for the runtime's planner; those of outputs are known. Where thousands are not said,
   * finding them out takes seconds.
   */
  declare(value: string, type: TensorType): string
  /** A whole-number vector whose entries may depend on sizes known only when the program runs. */
  shape(shape: Shape): string
  dataType(dtype: DType): number
}

export const CONTRIB = 'com.microsoft'

/**
 * A graph as the bytes of an ONNX model, and the names of the inputs that it reads.
 * @param constants  which of the inputs are part of the model; their values come, each under its name, as external data
 */
export function toOnnx(
  inputs: Record<string, TensorType>,
  outputs: Record<string, Tensor>,
  constants?: ReadonlySet<string>,
): { bytes: Uint8Array; used: Set<string> } {
  const { model, used } = toModel(inputs, outputs, constants)
  return { bytes: toBinary(ModelProtoSchema, model), used }
}

/** The same before it becomes bytes. */
export function toModel(
  inputs: Record<string, TensorType>,
  outputs: Record<string, Tensor>,
  constants: ReadonlySet<string> = new Set(),
): { model: ModelProto; used: Set<string> } {
  const nodes: NodeProto[] = []
  const initializers: TensorProto[] = []
  const valueInfo: ValueInfoProto[] = []
  const known = new Map<string, string[]>()
  const placeOf = new Map<string, { input: string; axis: number }>() // the first axis of each named size
  for (const [input, { shape }] of Object.entries(inputs))
    for (const [axis, dim] of shape.entries())
      if (typeof dim === 'string' && !placeOf.has(dim)) placeOf.set(dim, { input, axis })

  const nodesOf: OnnxBuilder['nodes'] = (type, from, count, attributes = {}, domain = '') => {
    const key = `${domain} ${type} ${count} ${from} ${JSON.stringify(attributes)}` // no name has a space or a comma
    const earlier = known.get(key)
    if (earlier) return earlier
    const to = Array.from({ length: count }, (_, i) => `${type}_${nodes.length}${count > 1 ? `_${i}` : ''}`)
    nodes.push(nodeOf(type, from, to, attributes, domain))
    known.set(key, to)
    return to
  }
  const namesOfConstants = new Map<HostTensor, string>() // the same array again needs no comparison of its bytes
  const constant = (tensor: HostTensor) => {
    const same = namesOfConstants.get(tensor)
    if (same) return same
    const name = constantOf(tensor)
    namesOfConstants.set(tensor, name)
    return name
  }
  const constantOf = (tensor: HostTensor) => {
    const bytes = new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength)
    const key = JSON.stringify(['constant', tensor.dtype, tensor.shape, Buffer.from(bytes).toString('base64')])
    const earlier = known.get(key)
    if (earlier) return earlier[0]
    const name = `constant_${initializers.length}`
    initializers.push(initializerOf(name, tensor, { rawData: bytes }))
    known.set(key, [name])
    return name
  }
  const wholeNumbers = (values: number[]) =>
    constant({ dtype: 'int64', shape: [values.length], data: BigInt64Array.from(values.map(BigInt)) })
  const builder: OnnxBuilder = {
    nodes: nodesOf,
    node: (type, from, attributes, domain) => nodesOf(type, from, 1, attributes, domain)[0],
    constant,
    declare: (value, type) => {
      valueInfo.push(valueInfoOf(value, type))
      return value
    },
    shape: (shape) => {
      if (shape.every((dim) => typeof dim === 'number')) return wholeNumbers(shape as number[])
      return builder.node('Concat', shape.map(sizeOf), { axis: 0 })
    },
    dataType: (dtype) => DATA_TYPES[dtype],
  }
  const sizes = new Map<Dim, string>()
  const sizeOf = (dim: Dim) => {
    const earlier = sizes.get(dim)
    if (earlier) return earlier
    const name = dimension(dim)
    sizes.set(dim, name)
    return name
  }
  /** A dimension as a vector of one whole number, computed from the shapes of the program's inputs. */
  function dimension(dim: Dim): string {
    if (typeof dim === 'number') return wholeNumbers([dim])
    const terms = dimTerms(dim).map(({ coefficient, names }) => {
      const factors = [...(coefficient === 1 ? [] : [wholeNumbers([coefficient])]), ...names.map(size)]
      return factors.length === 0 ? wholeNumbers([1]) : factors.reduce((a, b) => builder.node('Mul', [a, b]))
    })
    return terms.reduce((a, b) => builder.node('Add', [a, b]))
  }
  function size(name: string): string {
    const place = placeOf.get(name)
    if (!place) throw new Error(`no input has an axis of size "${name}"`)
    return builder.node('Shape', [place.input], { start: place.axis, end: place.axis + 1 })
  }

  const names = new Map<Tensor, string>()
  const order = nodesInOrder(Object.values(outputs))
  const read = new Set<Tensor>([...Object.values(outputs), ...order.flatMap((node) => node.inputs)])
  for (const node of order) {
    const emitted = node.op.emit(
      builder,
      node.inputs.map((input) => names.get(input)!),
      node.attributes as never,
      node,
      (output) => read.has(node.outputs[output]),
    )
    for (const [i, output] of node.outputs.entries()) {
      if (!read.has(output)) continue
      names.set(output, emitted[i])
      // Named sizes let the runtime's planner see which values are equally large and may share memory.
      if (node.inputs.length > 0) valueInfo.push(valueInfoOf(emitted[i], output))
    }
  }
  const outputOf = nameOutputs(
    nodes,
    new Map(Object.entries(outputs).map(([name, tensor]) => [name, names.get(tensor)!])),
  )

  const used = new Set(nodes.flatMap(({ input }) => input).filter((name) => name in inputs))
  for (const [name, { dtype, shape }] of Object.entries(inputs))
    if (used.has(name) && constants.has(name)) {
      const externalData = [create(StringStringEntryProtoSchema, { key: 'location', value: name })]
      const place = { externalData, dataLocation: DataLocation.EXTERNAL }
      initializers.push(initializerOf(name, { dtype, shape: shape as number[] }, place))
    }
  const seen = new Set<string>()
  const graph = create(GraphProtoSchema, {
    name: 'flowtune',
    node: nodes,
    initializer: initializers,
    input: Object.entries(inputs)
      .filter(([name]) => used.has(name) && !constants.has(name))
      .map(([name, type]) => valueInfoOf(name, type)),
    output: Object.entries(outputs).map(([name, tensor]) => valueInfoOf(name, tensor)),
    valueInfo: valueInfo.filter(({ name }) => !outputOf.has(name) && !seen.has(name) && seen.add(name)),
  })
  const opsetImport = [
    { domain: '', version: BigInt(OPSET) },
    { domain: CONTRIB, version: BigInt(CONTRIB_OPSET) },
  ]
  const model = create(ModelProtoSchema, { irVersion: IR_VERSION, producerName: 'flowtune', opsetImport, graph })
  return { model, used }
}

/**
 * Gives values the names of outputs where nodes make them, and a copy where an input is an output or a value is several.
 * @param outputs  the value of each
 * @returns which output each value became
 */
function nameOutputs(nodes: NodeProto[], outputs: ReadonlyMap<string, string>): Map<string, string> {
  const made = new Set(nodes.flatMap(({ output }) => output))
  const outputOf = new Map<string, string>()
  const copies: NodeProto[] = []
  for (const [name, value] of outputs)
    if (made.has(value) && !outputOf.has(value)) outputOf.set(value, name)
    else copies.push(nodeOf('Identity', [value], [name]))
  nodes.push(...copies)
  const renamed = (value: string) => outputOf.get(value) ?? value
  for (const node of nodes) {
    node.input = node.input.map(renamed)
    node.output = node.output.map(renamed)
  }
  return outputOf
}

/** A node that computes named values from named values. */
export function nodeOf(
  type: string,
  input: readonly string[],
  output: readonly string[],
  attributes: Record<string, Attribute> = {},
  domain = '',
): NodeProto {
  const attribute = Object.entries(attributes).map(([name, value]) => attributeOf(name, value))
  return create(NodeProtoSchema, {
    opType: type,
    domain,
    name: output[0],
    input: [...input],
    output: [...output],
    attribute,
  })
}

/** A value that a model brings along: its bytes, or where they are. */
export function initializerOf(
  name: string,
  { dtype, shape }: Pick<HostTensor, 'dtype' | 'shape'>,
  place: Pick<MessageInitShape<typeof TensorProtoSchema>, 'rawData' | 'externalData' | 'dataLocation'>,
): TensorProto {
  return create(TensorProtoSchema, { name, dims: shape.map(BigInt), dataType: DATA_TYPES[dtype], ...place })
}

function attributeOf(name: string, value: Attribute): AttributeProto {
  if (typeof value === 'number')
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) })
  if (typeof value === 'string')
    return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s: Buffer.from(value) })
  if ('float' in value) return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float })
  return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) })
}

function valueInfoOf(name: string, { shape, dtype }: TensorType): ValueInfoProto {
  const dim = shape.map((extent) => ({
    value:
      typeof extent === 'number'
        ? { case: 'dimValue' as const, value: BigInt(extent) }
        : { case: 'dimParam' as const, value: extent },
  }))
  const tensorType = { elemType: DATA_TYPES[dtype], shape: { dim } }
  return create(ValueInfoProtoSchema, { name, type: { value: { case: 'tensorType', value: tensorType } } })
}
