/** @file The devices that programs run on: the execution provider that ONNX Runtime has for each, and where it comes from. */

/** How a user names a device. The first one is always there. */
export const devices = ['cpu', 'cuda', 'webgpu', 'coreml', 'dml'] as const
export type Device = (typeof devices)[number]

/** What a machine needs for a device, for messages. */
const needs: Record<Device, string> = {
  cpu: 'nothing',
  cuda: 'Linux on x64, an NVIDIA GPU, CUDA 12, cuDNN 9, and the provider: ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node',
  webgpu: 'Windows, macOS or Linux on x64, and a GPU with a driver for Direct3D 12, Metal or Vulkan',
  coreml: 'macOS',
  dml: 'Windows and a GPU with a driver for Direct3D 12',
}

export const deviceNeeds = (device: Device) => needs[device]

/** The providers to ask for, in this order: what a device cannot compute falls to the processor. */
export const providersOf = (device: Device): Device[] => (device === 'cpu' ? ['cpu'] : [device, 'cpu'])

/** The version of ONNX Runtime. */
export const runtimeVersion = async (): Promise<string> => (await import('onnxruntime-node')).env.versions.common

/** The devices that the runtime was built for on this platform. That the machine has them is another matter. */
export async function builtDevices(): Promise<Device[]> {
  const { listSupportedBackends } = await import('onnxruntime-node')
  const built = listSupportedBackends().map(({ name }) => name)
  return devices.filter((device) => built.includes(device))
}
