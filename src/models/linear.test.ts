/** Linear layers that read the same x, together, against each alone. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { initialAdapter, type LoraConfig } from '../adapters/lora.ts'
import { seededRandom } from '../random.ts'
import { float32, type NamedTensors, sizeOf } from '../runtime/host-tensor.ts'
import { openRuntime } from '../runtime/node.ts'
import type { Runtime } from '../runtime/session.ts'
import { gradients } from '../tensor/gradient.ts'
import { add, input, mul, sumAll } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import { nodesInOrder, type Tensor } from '../tensor/tensor.ts'
import type { ForwardContext, ModelDescription } from './architecture.ts'
import { weightInputs } from './frozen.ts'
import { describeModel } from './language-model.ts'
import { adapterInputs, linearLayers } from './linear.ts'

const model: ModelDescription = {
  ...describeModel(new URL('../../test/golden/checkpoints/llama', import.meta.url).pathname),
  ...{ storage: 'float32', recompute: 'nothing' },
}
const modules = ['q_proj', 'k_proj', 'v_proj'].map((name) => `model.layers.0.self_attn.${name}`)
const linears = model.linears.filter(({ module }) => modules.includes(module))
const { width } = model.dimensions
const types = (lora: LoraConfig) => ({
  ...weightInputs(model),
  ...adapterInputs({ ...model, linears }, lora),
  x: { dtype: 'float32', shape: [5, width] } as const,
})

type Project = (layers: Pick<ForwardContext, 'linear' | 'linears'>, x: Tensor) => Tensor[]
const together: Project = (layers, x) => layers.linears(modules, x)
const alone: Project = (layers, x) => modules.map((module) => layers.linear(module, x))

/** What the layers give, and the gradients of a sum of squares in x and the adapter. */
function results(inputs: Record<string, Tensor>, lora: LoraConfig, project: Project): Record<string, Tensor> {
  const outputs = project(linearLayers(model, inputs, lora), inputs.x)
  const loss = outputs.map((y) => sumAll(mul(y, y))).reduce((a, b) => add(a, b))
  const variables = ['x', ...Object.keys(adapterInputs({ ...model, linears }, lora))]
  const slopes = gradients(
    loss,
    variables.map((name) => inputs[name]),
  )
  return Object.fromEntries([
    ...outputs.map((y, i) => [modules[i], y]),
    ...variables.map((name, i) => [`gradient of ${name}`, slopes[i]]),
  ])
}

let runtime: Runtime
beforeAll(() => {
  runtime = openRuntime({ threads: 1 })
})
afterAll(() => runtime.dispose())

const normals = (name: string, shape: readonly number[]) => {
  const draws = seededRandom(7).at(name)
  return float32(
    shape,
    Array.from({ length: sizeOf(shape) }, () => draws.normal()),
  )
}

test.each<[string, LoraConfig]>([
  ['all are adapted', { rank: 3, alpha: 6, targets: ['q_proj', 'k_proj', 'v_proj'] }],
  ['one is not', { rank: 3, alpha: 6, targets: ['q_proj', 'v_proj'] }],
  ['one is', { rank: 3, alpha: 6, targets: ['k_proj'] }],
  [
    'ranks and scales differ',
    {
      ...{ rank: 3, alpha: 6, targets: ['q_proj', 'k_proj', 'v_proj'] },
      rankPattern: { k_proj: 1, v_proj: 4 },
      alphaPattern: { q_proj: 1 },
    },
  ],
])('layers that read the same x give together what each gives alone, where %s', async (_, lora) => {
  const shapes = Object.keys(initialAdapter(lora, linears, seededRandom(1)).weights)
  expect(shapes).toHaveLength(2 * linears.filter(({ module }) => lora.targets.some((t) => module.endsWith(t))).length)
  const given: NamedTensors = Object.fromEntries(
    Object.entries(types(lora)).map(([name, { shape }]) => [name, normals(name, shape as readonly number[])]),
  )
  const run = async (project: Project) => {
    const program = buildProgram('layers', types(lora), (inputs) => results(inputs, lora, project))
    const session = await runtime.open(program)
    const read = Object.fromEntries(Object.keys(program.inputs).map((name) => [name, given[name]]))
    const { outputs } = await session.run(read)
    await session.dispose()
    return outputs
  }
  const [one, other] = [await run(together), await run(alone)]
  expect(Object.keys(one)).toEqual(Object.keys(other))
  for (const name of Object.keys(other)) {
    const [values, expected] = [one, other].map((outputs) => Array.from(outputs[name].data, Number))
    const largest = Math.max(...expected.map(Math.abs))
    expect(largest, name).toBeGreaterThan(0)
    for (const [i, value] of expected.entries()) expect(Math.abs(values[i] - value), name).toBeLessThan(1e-5 * largest)
  }
})

test('what adapters do with x is one product, and so are its gradients in A and in x', () => {
  const lora: LoraConfig = { rank: 3, alpha: 6, targets: ['q_proj', 'k_proj', 'v_proj'] }
  const inputs = Object.fromEntries(Object.entries(types(lora)).map(([name, type]) => [name, input(name, type)]))
  const made = (project: Project) =>
    nodesInOrder(Object.values(results(inputs, lora, project)))
      .filter(({ op }) => op.name === 'matmul')
      .map(({ outputs: [{ shape }] }) => shape.join('×'))
  const count = (shape: string, project: Project) => made(project).filter((other) => other === shape).length
  // x·Aᵀ, and dA; k and v have fewer outputs than q, but all read x, which is as wide as q's output
  expect(count('5×9', together)).toBe(1)
  expect(count(`9×${width}`, together)).toBe(1)
  // alone: x·Aᵀ and its gradient for each
  expect(count('5×3', together)).toBe(3)
  expect(count('5×3', alone)).toBe(6)
  expect(count(`3×${width}`, together)).toBe(0)
  expect(count(`3×${width}`, alone)).toBe(3)
  // dx: three of frozen weights, and one of the adapters instead of three; q's own output besides
  expect(count(`5×${width}`, together)).toBe(1 + 3 + 1)
  expect(count(`5×${width}`, alone)).toBe(1 + 3 + 3)
})
