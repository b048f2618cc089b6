/** @file Whether a device is there: a program is run on it, since nothing less shows that driver, library and memory work together. */
import { UserError } from '../errors.ts'
import { float32 } from '../runtime/host-tensor.ts'
import { openRuntime } from '../runtime/node.ts'
import { builtDevices, type Device, deviceNeeds, devices } from '../runtime/providers.ts'
import { matmul } from './ops/index.ts'
import { buildProgram } from './program.ts'

const product = buildProgram('probe', { x: { dtype: 'float32', shape: [2, 2] } }, ({ x }) => ({ y: matmul(x, x) }))

const problems = new Map<Device, Promise<string | undefined>>()

/** Why a device cannot be used here; undefined where it computes. It is tried once. */
export function deviceProblem(device: Device): Promise<string | undefined> {
  const known = problems.get(device)
  if (known) return known
  const problem = tryDevice(device)
  problems.set(device, problem)
  return problem
}

async function tryDevice(device: Device): Promise<string | undefined> {
  if (device === 'cpu') return undefined
  if (!(await builtDevices()).includes(device))
    return `ONNX Runtime is not built with it for ${process.platform} on ${process.arch}`
  const runtime = openRuntime({ threads: 1, device })
  try {
    const session = await runtime.open(product)
    const { outputs } = await session.run({ x: float32([2, 2], [1, 2, 3, 4]) })
    return `${outputs.y.data}` === '7,10,15,22' ? undefined : `it computes ${outputs.y.data} for 7,10,15,22`
  } catch (error) {
    return reasonIn((error as Error).message)
  } finally {
    await runtime.dispose()
  }
}

/** The last sentence of the runtime's message; before it stand places in its sources. */
const reasonIn = (message: string) =>
  message
    .trim()
    .split('\n')
    .at(-1)!
    .replace(/^.*(was false\.|: )\s*/, '')
    .trim()

/** @throws UserError saying why the device cannot be used here, what it needs, and which ones can */
export async function refuseAbsentDevice(device: Device): Promise<void> {
  const problem = await deviceProblem(device)
  if (problem === undefined) return
  const others = await Promise.all(devices.map(async (other) => ((await deviceProblem(other)) ? [] : [other])))
  throw new UserError({
    what: `the device "${device}" is not there: ${problem}`,
    fix: `it needs ${deviceNeeds(device)}; this machine has ${others.flat().join(', ')}`,
  })
}
