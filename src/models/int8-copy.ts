/**
 * @file An int8 copy of a model's linear layers and head, for programs that may be near the model instead of equal to it. It is made of
 * the weights as they are held: it needs no file and no place in a checkpoint. Embeddings and norms stay as they are. It is part of
 * a program that reads few tokens at a time, arranged for its products when that is opened; those that read many share one,
 * and another of the transposed matrices where gradients flow.
 */
import type { LinearLayer } from '../adapters/lora.ts'
import type { Derivation, Program } from '../runtime/session.ts'
import { storedValues, toIntegers, toIntegersBack } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import type { ModelDescription } from './architecture.ts'
import { groupName, integerParts, matrixOf, weightInputs } from './frozen.ts'

/** The parts of a step that can multiply by it. */
export const int8Parts = ['rollouts', 'scoring', 'learning'] as const
export type Int8Part = (typeof int8Parts)[number]

type Way = keyof typeof integerParts
type Copied = { name: string; matrices: string[]; inputs: number; outputs: number }

/**
 * What is copied, and of which matrices: those of linear layers, as a way's products read them, one for those that read the same x; and
 * forward the head, through which gradients flow by other means.
 */
function copies(model: Copyable, way: Way): Copied[] {
  const { head, weights } = model
  const ofLinears = linearGroups(model).map((group): Copied => {
    const modules = group.map(({ module }) => module)
    const matrices = modules.map((module) => `${module}.weight`)
    const outputs = group.reduce((sum, { outputs }) => sum + outputs, 0)
    const [{ inputs }] = group
    const sizes = way === 'forward' ? { inputs, outputs } : { inputs: outputs, outputs: inputs }
    return { name: groupName(modules), matrices, ...sizes }
  })
  if (way === 'back') return ofLinears
  const [outputs, inputs] = weights[head]
  return [...ofLinears, { name: head, matrices: [head], inputs, outputs }]
}

type Copyable = Pick<ModelDescription, 'linears' | 'readers' | 'head' | 'weights'>

/** The linear layers, those that read the same x together. */
function linearGroups({ linears, readers = [] }: Copyable): LinearLayer[][] {
  const isGrouped = new Set(readers.flat())
  return [
    ...readers.map((modules) => linears.filter(({ module }) => modules.includes(module))),
    ...linears.filter(({ module }) => !isGrouped.has(module)).map((layer) => [layer]),
  ]
}

/** The types of the copy's arrays. Where a program has them as inputs, its products use them. */
export const int8Inputs = (model: ModelDescription, way: Way = 'forward'): Record<string, TensorType> =>
  Object.fromEntries(
    copies(model, way).flatMap(({ name, inputs, outputs }): [string, TensorType][] => [
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
      copies(model, way).flatMap(({ name, matrices }): [string, Tensor][] => {
        const values = matrices.map((matrix) => storedValues(matrixOf(model, inputs, matrix)))
        const copy = way === 'forward' ? toIntegers(values) : toIntegersBack(values)
        return [
          [`${name}${integerParts[way][0]}`, copy.values],
          [`${name}${integerParts[way][1]}`, copy.scale],
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
export const int8CopyBytes = (model: Copyable, way: Way = 'forward') =>
  copies(model, way).reduce((sum, { inputs, outputs }) => sum + inputs * outputs + 4 * outputs, 0)
