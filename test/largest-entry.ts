/** @file How large an array is, and how far from another: by its largest entry. */
import type { HostTensor } from '../src/runtime/host-tensor.ts'

export const largestOf = ({ data }: HostTensor) => Math.max(...Array.from(data as Float32Array, Math.abs))
export const distance = (a: HostTensor, b: HostTensor) =>
  Math.max(...Array.from(a.data as Float32Array, (value, i) => Math.abs(value - Number(b.data[i]))))
