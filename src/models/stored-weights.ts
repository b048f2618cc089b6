/**
 * @file From the weights of a checkpoint to the arrays that programs read. The largest matrix comes first: while it is
 * encoded nothing else is held yet, so that loading never takes much more memory than what stays.
 */
import { type HostTensor, sizeOf } from '../runtime/host-tensor.ts'
import { encodeMatrix } from '../weights/quantize.ts'
import type { ModelDescription } from './architecture.ts'
import { storageOf } from './frozen.ts'

/** Numbers that are converted at a time: large enough to be read quickly, and few beside any matrix that matters. */
const PART = 1 << 20

/**
 * The arrays of a model's weights, one at a time.
 * @param parts the float32 values of a weight in order, at most so many at a time
 */
export function* storedWeights(
  model: ModelDescription,
  parts: (name: string, elements: number) => Iterable<Float32Array>,
): Iterable<[name: string, tensor: HostTensor]> {
  const bySize = Object.entries(model.weights).sort(([, a], [, b]) => sizeOf(b) - sizeOf(a))
  for (const [name, shape] of bySize) {
    const columns = shape.at(-1)!
    const rows = parts(name, Math.max(1, Math.floor(PART / columns)) * columns)
    const [asMatrix, storage] =
      shape.length === 2 ? [shape, storageOf(model, name)] : [[1, columns], 'float32' as const]
    for (const [part, tensor] of Object.entries(encodeMatrix(storage, asMatrix, rows)))
      yield [`${name}${part}`, shape.length === 2 ? tensor : { ...tensor, shape }]
  }
}
