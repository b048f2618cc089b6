/**
 * @file An int8 copy of a model's linear layers and head, for programs that may be near the model instead of equal to it. It is made of
 * the weights as they are held: it needs no file and no place in a checkpoint. Embeddings and norms stay as they are. It is part of
 * a program that reads few tokens at a time, arranged for its products when that is opened; those that read many share one,
 * and another of the transposed matrices where gradients flow.
 */
import type { Derivation, Program } from '../runtime/session.ts'
import { storedValues, toIntegers, toIntegersBack } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import type { ModelDescription } from './architecture.ts'
import { integerParts, matrixOf, weightInputs } from './frozen.ts'

/** The parts of a step that can multiply by it. */
export const int8Parts = ['rollouts', 'scoring', 'learning'] as const
export type Int8Part = (typeof int8Parts)[number]

type Way = keyof typeof integerParts
type Copied = { name: string; inputs: number; outputs: number }

/** The matrices that are copied: those of linear layers, as a way's products read them, and forward the head, through which gradients flow by other means. */
function copiedMatrices(
  { linears, head, weights }: Pick<ModelDescription, 'linears' | 'head' | 'weights'>,
  way: Way,
): Copied[] {
  const named = linears.map(({ module, inputs, outputs }) => ({ name: `${module}.weight`, inputs, outputs }))
  if (way === 'back') return named.map(({ name, inputs, outputs }) => ({ name, inputs: outputs, outputs: inputs }))
  const [outputs, inputs] = weights[head]
  return [...named, { name: head, inputs, outputs }]
}

/** The types of the copy's arrays. Where a program has them as inputs, its products use them. */
export const int8Inputs = (model: ModelDescription, way: Way = 'forward'): Record<string, TensorType> =>
  Object.fromEntries(
    copiedMatrices(model, way).flatMap(({ name, inputs, outputs }): [string, TensorType][] => [
      [`${name}${integerParts[way][0]}`, { dtype: 'int8', shape: [inputs, outputs] }],
      [`${name}${integerParts[way][1]}`, { dtype: 'float32', shape: [outputs] }],
    ]),
  )

/** Makes the copy from the weights. */
export const int8Copy = (model: ModelDescription, way: Way = 'forward'): Derivation => ({
  name: `int8 copy, ${way}`,
  outputs: Object.keys(int8Inputs(model, way)),
  build: () => copyProgram(model, way),
})

const copyProgram = (model: ModelDescription, way: Way): Program =>
  buildProgram(`int8 copy, ${way}`, weightInputs(model), (inputs) =>
    Object.fromEntries(
      copiedMatrices(model, way).flatMap(({ name }): [string, Tensor][] => {
        const matrix = storedValues(matrixOf(model, inputs, name))
        const { values, scale } = way === 'forward' ? toIntegers(matrix) : toIntegersBack(matrix)
        return [
          [`${name}${integerParts[way][0]}`, values],
          [`${name}${integerParts[way][1]}`, scale],
        ]
      }),
    ),
  )

/** What programs of a model that is `int8` read besides its weights, and what makes that: nothing where it is not. */
export function sharedCopy(model: ModelDescription, ways: readonly Way[] = ['forward']) {
  const used = model.int8 ? ways : []
  const types: Record<string, TensorType> = Object.assign({}, ...used.map((way) => int8Inputs(model, way)))
  return { types, shared: used.map((way) => int8Copy(model, way)) }
}

/** Bytes of the copy. */
export const int8CopyBytes = (model: Pick<ModelDescription, 'linears' | 'head' | 'weights'>, way: Way = 'forward') =>
  copiedMatrices(model, way).reduce((sum, { inputs, outputs }) => sum + inputs * outputs + 4 * outputs, 0)
