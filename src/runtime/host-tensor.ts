/** @file Arrays with a shape, in the memory of JavaScript: what goes into a session and comes out of it. */

export type DType = 'float32' | 'float16' | 'float64' | 'int64' | 'int32' | 'int8' | 'uint8' | 'bool'

/** An array in row-major order. float16 is stored as bits in a Uint16Array, bool as bytes 0 and 1. */
export type HostTensor = { dtype: DType; shape: readonly number[]; data: TypedArray }

export type TypedArray = Float32Array | Float64Array | Uint16Array | BigInt64Array | Int32Array | Int8Array | Uint8Array

/** Arrays by name: weights, an adapter, gradients, the state of an optimizer. */
export type NamedTensors = Record<string, HostTensor>

/** Number of elements of a shape. */
export const sizeOf = (shape: readonly number[]) => shape.reduce((product, extent) => product * extent, 1)

/** A float32 array of a shape; zeros where no data is given. */
export const float32 = (shape: readonly number[], data: ArrayLike<number> = { length: 0 }): HostTensor => ({
  dtype: 'float32',
  shape,
  data: data instanceof Float32Array ? data : data.length ? Float32Array.from(data) : new Float32Array(sizeOf(shape)),
})

/** An int64 array of a shape, as ONNX wants indices. */
export const int64 = (shape: readonly number[], data: ArrayLike<number>): HostTensor => ({
  dtype: 'int64',
  shape,
  data: BigInt64Array.from(data as number[], BigInt),
})

/** A bool array of a shape. */
export const bool = (shape: readonly number[], data: ArrayLike<boolean | number>): HostTensor => ({
  dtype: 'bool',
  shape,
  data: Uint8Array.from(data as number[], Number),
})
