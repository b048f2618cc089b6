/** The devices that tests run on: all that this machine has. For one that is absent a skipped test says why. */
import { test } from 'vitest'
import { type Device, devices } from '../src/runtime/providers.ts'
import { deviceProblem } from '../src/tensor/probe-device.ts'

/** By how much errors may be larger than the processor's: other orders of summation, other approximations of exp and tanh. */
const errorFactors: Record<Device, number> = { cpu: 1, cuda: 10, webgpu: 10, coreml: 10, dml: 10 }

export type PresentDevice = { device: Device; errorFactor: number }

const found: [Device, string | undefined][] = []
for (const device of devices) found.push([device, await deviceProblem(device)])

/** For `describe.each`. @param what is tested, for the tests that are skipped */
export function presentDevices(what: string): PresentDevice[] {
  for (const [device, problem] of found) if (problem) test.skip(`${what} on ${device}: ${problem}`, () => {})
  return found
    .filter(([, problem]) => problem === undefined)
    .map(([device]) => ({ device, errorFactor: errorFactors[device] }))
}
