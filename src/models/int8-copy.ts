/**
 * @file An int8 copy of a model's linear layers and head, for programs that may be near the model instead of equal to it. It is part of such a
 * program, arranged for its products when the program is opened, and made of the weights as they are held by then: it needs
 * no file and no place in a checkpoint. Embeddings and norms stay as they are.
 */
import type { Program } from '../runtime/session.ts'
import { storedValues, toIntegers } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import type { ModelDescription } from './architecture.ts'
import { integerParts, matrixOf, weightInputs } from './frozen.ts'

type Copied = { name: string; inputs: number; outputs: number }

/** The matrices that are copied. The copy is transposed, since products want it so. */
function copiedMatrices({ linears, head, weights }: Pick<ModelDescription, 'linears' | 'head' | 'weights'>): Copied[] {
  const [outputs, inputs] = weights[head]
  return [
    ...linears.map(({ module, inputs, outputs }) => ({ name: `${module}.weight`, inputs, outputs })),
    { name: head, inputs, outputs },
  ]
}

/** The types of the copy's arrays. Where a program has them as inputs, its products use them. */
export const int8Inputs = (model: ModelDescription): Record<string, TensorType> =>
  Object.fromEntries(
    copiedMatrices(model).flatMap(({ name, inputs, outputs }): [string, TensorType][] => [
      [`${name}${integerParts[0]}`, { dtype: 'int8', shape: [inputs, outputs] }],
      [`${name}${integerParts[1]}`, { dtype: 'float32', shape: [outputs] }],
    ]),
  )

/** Makes the copy from the weights. */
export const int8CopyProgram = (model: ModelDescription): Program =>
  buildProgram('int8 copy', weightInputs(model), (inputs) =>
    Object.fromEntries(
      copiedMatrices(model).flatMap(({ name }): [string, Tensor][] => {
        const { values, scale } = toIntegers(storedValues(matrixOf(model, inputs, name)))
        return [
          [`${name}${integerParts[0]}`, values],
          [`${name}${integerParts[1]}`, scale],
        ]
      }),
    ),
  )

/** Bytes of the copy. */
export const int8CopyBytes = (model: Pick<ModelDescription, 'linears' | 'head' | 'weights'>): number =>
  copiedMatrices(model).reduce((sum, { inputs, outputs }) => sum + inputs * outputs + 4 * outputs, 0)
