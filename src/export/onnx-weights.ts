/**
 * @file The weights of an exported graph. The graph is drawn with float32 weights; here each node that reads one is
 * replaced by nodes that read it as it is stored: in half precision, or in blocks of 8 bits that the runtime multiplies
 * without decoding the matrix first.
 */
import type { ModelDescription } from '../models/architecture.ts'
import type { HostTensor } from '../runtime/host-tensor.ts'
import { CONTRIB, nodeOf } from '../tensor/onnx.ts'
import { TensorProto_DataType as DataType, type GraphProto, type NodeProto } from '../tensor/onnx-proto.ts'
import { BLOCK, type Storage } from '../tensor/ops/stored.ts'
import { narrowToFloat16, widenFloat16 } from '../weights/dtypes.ts'
import { encodeMatrix } from '../weights/quantize.ts'

/** The names that transformers.js has for them. */
export const onnxDtypes = ['fp32', 'fp16', 'q8'] as const
export type OnnxDtype = (typeof onnxDtypes)[number]

/** How a weight is stored. */
export type StoredForm = Extract<Storage, 'float32' | 'float16' | 'int8'>

/** An array of a stored weight; `encode` makes it from the weight in float32. */
export type StoredArray = Pick<HostTensor, 'dtype' | 'shape'> & {
  name: string
  encode: (weight: Float32Array) => HostTensor
}

/** The form of every weight of a model, from what the graph does with it. */
export function storedForms(graph: GraphProto, model: ModelDescription, dtype: OnnxDtype): Map<string, StoredForm> {
  const uses = new Map<string, NodeProto[]>()
  for (const node of graph.node)
    for (const name of node.input) if (name in model.weights) uses.set(name, [...(uses.get(name) ?? []), node])
  return new Map([...uses].map(([name, nodes]) => [name, formOf(model.weights[name], nodes, dtype)]))
}

function formOf(shape: readonly number[], uses: readonly NodeProto[], dtype: OnnxDtype): StoredForm {
  if (shape.length !== 2 || dtype === 'fp32') return 'float32' // vectors are small, and norms need them exact
  const inBlocks = uses.every(({ opType }) => ['FusedMatMul', 'Gather'].includes(opType))
  return dtype === 'fp16' || !inBlocks || shape[1] % BLOCK !== 0 ? 'float16' : 'int8'
}

/** The arrays of a weight in its form. */
export function storedArrays(name: string, shape: readonly number[], form: StoredForm): StoredArray[] {
  switch (form) {
    case 'float32':
      return [{ name, dtype: 'float32', shape, encode: (data) => ({ dtype: 'float32', shape, data }) }]
    case 'float16': {
      const half = (data: Float32Array): HostTensor => ({ dtype: 'float16', shape, data: narrowToFloat16(data) })
      return [{ name: halfOf(name), dtype: 'float16', shape, encode: half }]
    }
    case 'int8': {
      const blocks = [shape[0], shape[1] / BLOCK]
      const encode = (data: Float32Array) => encodeMatrix('int8', shape, [data])
      const bytes = [...blocks, BLOCK]
      return [
        {
          name: bytesOf(name),
          dtype: 'uint8',
          shape: bytes,
          encode: (data) => ({
            dtype: 'uint8',
            shape: bytes,
            data: Uint8Array.from(encode(data)[''].data as Int8Array, withOffset),
          }),
        },
        {
          name: scalesOf(name),
          dtype: 'float32',
          shape: blocks,
          encode: (data) => ({
            dtype: 'float32',
            shape: blocks,
            data: widenFloat16(encode(data)['.scale'].data as Uint16Array),
          }),
        },
      ]
    }
  }
}

/** The float32 values of a weight from its arrays. */
export function decodeStored(arrays: readonly HostTensor[], form: StoredForm): Float32Array {
  const [{ data }] = arrays
  if (form === 'float32') return data as Float32Array
  if (form === 'float16') return widenFloat16(data as Uint16Array)
  const scales = arrays[1].data as Float32Array
  return Float32Array.from(data as Uint8Array, (byte, i) => (byte - OFFSET) * scales[Math.floor(i / BLOCK)])
}

/** What stands for zero in a byte, unless a model says otherwise. */
const OFFSET = 128
const withOffset = (value: number) => value + OFFSET

const halfOf = (name: string) => `${name}.half`
const bytesOf = (name: string) => `${name}.bytes`
const scalesOf = (name: string) => `${name}.scales`

/** Makes a graph read its weights in their forms. They are no inputs any more. */
export function readStored(graph: GraphProto, model: ModelDescription, forms: ReadonlyMap<string, StoredForm>): void {
  const widened = new Set<string>()
  graph.input = graph.input.filter(({ name }) => !forms.has(name))
  graph.node = graph.node.flatMap((node) => {
    const weight = node.input.find((name) => forms.has(name))
    if (weight === undefined) return [node]
    const form = forms.get(weight)!
    if (form === 'int8') return fromBlocks(node, weight, model.weights[weight])
    if (form === 'float32') return [asProduct(node)]
    if (node.opType === 'Gather') return gatherHalf(node, weight)
    const float = `${weight}.float`
    const cast = widened.has(weight) ? [] : [toFloat(halfOf(weight), float)]
    widened.add(weight)
    return [...cast, asProduct({ ...node, input: node.input.map((name) => (name === weight ? float : name)) })]
  })
}

const toFloat = (from: string, to: string) => nodeOf('Cast', [from], [to], { to: DataType.FLOAT })

/** x·Wᵀ by the operator that every runtime has, not by the one that only ONNX Runtime's processors have. */
function asProduct(node: NodeProto): NodeProto {
  if (node.opType !== 'FusedMatMul') return node
  return nodeOf('Gemm', node.input, node.output, { transB: 1 })
}

function gatherHalf({ input: [, index], output: [out] }: NodeProto, weight: string): NodeProto[] {
  return [nodeOf('Gather', [halfOf(weight), index], [`${out}.half`], { axis: 0 }), toFloat(`${out}.half`, out)]
}

function fromBlocks(node: NodeProto, weight: string, shape: readonly number[]): NodeProto[] {
  const { input, output, opType } = node
  if (opType !== 'Gather') {
    const attributes = { N: shape[0], K: shape[1], bits: 8, block_size: BLOCK }
    return [nodeOf('MatMulNBits', [input[0], bytesOf(weight), scalesOf(weight)], output, attributes, CONTRIB)]
  }
  const [, index] = input
  const [out] = output
  const part = (name: string) => `${out}.${name}`
  return [
    nodeOf('Gather', [bytesOf(weight), index], [part('bytes')], { axis: 0 }), // [tokens, blocks, BLOCK]
    nodeOf('Gather', [scalesOf(weight), index], [part('scales')], { axis: 0 }), // [tokens, blocks]
    toFloat(part('bytes'), part('raised')),
    nodeOf('Constant', [], [part('offset')], { value_float: { float: OFFSET } }),
    nodeOf('Sub', [part('raised'), part('offset')], [part('values')]),
    nodeOf('Constant', [], [part('last')], { value_ints: [-1] }),
    nodeOf('Unsqueeze', [part('scales'), part('last')], [part('column')]),
    nodeOf('Mul', [part('values'), part('column')], [part('rows')]),
    nodeOf('Constant', [], [part('shape')], { value_ints: [-1, shape[1]] }),
    nodeOf('Reshape', [part('rows'), part('shape')], [out]),
  ]
}
