import { cpus, totalmem } from 'node:os'
import type { Command } from 'commander'
import { UserError } from '../errors.ts'
import { formatBytes } from '../files.ts'
import { type Device, deviceNeeds, devices, runtimeVersion } from '../runtime/providers.ts'
import { grantedCores } from '../runtime/threads.ts'
import { deviceProblem, refuseAbsentDevice } from '../tensor/probe-device.ts'
import { version } from '../trainers/run-record.ts'
import { cacheBytes, cacheFolder } from '../weights/hub/cache.ts'
import { hubEndpoint, isOffline } from '../weights/hub/requests.ts'
import { type CommonOptions, wholeNumber, withCommonOptions, withExamples } from './options.ts'
import { type Speed, speedTest } from './speed-test.ts'
import { plainTable, printJson, type Terminal } from './terminal.ts'

const OLDEST_NODE = 20

type Findings = {
  flowtune: string
  node: string
  platform: string
  processor: string
  cores: { granted: number; present: number }
  memory: { free: number; total: number /** Null where no container sets one. */; limit: number | null }
  onnxruntime: string
  devices: Record<Device, string | null>
  cache: { folder: string; bytes: number }
  hub: string
  speed: Speed & { device: Device; threads: number }
}

export function defineDoctor(program: Command, terminal: Terminal): void {
  withExamples(
    withCommonOptions(
      program
        .command('doctor')
        .description('what this machine has, what it lacks for other devices, and how fast it is')
        .option('--seconds <number>', 'how long the speed test takes, about', wholeNumber(1), 10),
    ),
    ['doctor', 'doctor --device webgpu --json'],
  ).action((options: CommonOptions & { seconds: number }) => doctor(options, terminal))
}

/** @throws UserError where something is wrong without which nothing works; what is merely absent is no failure */
async function doctor(
  { device = 'cpu', threads = grantedCores(), seconds, json }: CommonOptions & { seconds: number },
  terminal: Terminal,
): Promise<void> {
  await refuseAbsentDevice(device)
  if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE)
    throw new UserError({ what: `this is Node ${process.versions.node}`, fix: `install ${OLDEST_NODE} or newer` }, 1)
  const findings = {
    ...(await inspect()),
    speed: { device, threads, ...(await speedTest({ device, threads }, seconds)) },
  }
  if (json) return printJson(terminal, findings)
  terminal.stdout.write(`${report(findings)}\n`)
}

async function inspect(): Promise<Omit<Findings, 'speed'>> {
  const problems: [Device, string | null][] = []
  for (const device of devices) problems.push([device, (await deviceProblem(device)) ?? null])
  const limit = process.constrainedMemory()
  return {
    flowtune: version,
    node: process.versions.node,
    platform: `${process.platform} on ${process.arch}`,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: { granted: grantedCores(), present: cpus().length },
    memory: {
      free: process.availableMemory(),
      total: totalmem(),
      limit: limit > 0 && limit < totalmem() ? limit : null, // without a limit the system tells an enormous number
    },
    onnxruntime: await runtimeVersion(),
    devices: Object.fromEntries(problems) as Findings['devices'],
    cache: { folder: cacheFolder(), bytes: cacheBytes() },
    hub: isOffline() ? 'not asked: HF_HUB_OFFLINE is set' : hubEndpoint(),
  }
}

function report(findings: Findings): string {
  const { flowtune, node, platform, processor, cores, memory, onnxruntime, cache, hub, speed } = findings
  const limit = memory.limit === null ? '' : `, this container may use ${formatBytes(memory.limit)}`
  const rows = [
    ['flowtune', `${flowtune}, Node ${node}, ${platform}`],
    ['processor', `${processor}; ${cores.granted} of ${cores.present} cores granted`],
    ['memory', `${formatBytes(memory.free)} free of ${formatBytes(memory.total)}${limit}`],
    ['ONNX Runtime', onnxruntime],
    ...devices.map((device) => [`--device ${device}`, deviceLine(device, findings.devices[device])]),
    ['cache', `${cache.folder}, ${formatBytes(cache.bytes)}`],
    ['hub', hub],
  ]
  const figures = [
    [`${speed.gigaOperationsPerSecond.toFixed(0)} GFLOP/s`, 'product of two large float32 matrices'],
    [`${formatBytes(speed.copyBytesPerSecond)}/s`, 'copying memory, read and written'],
    [`${speed.learnTokensPerSecond.toFixed(0)} tokens/s`, 'learn step of the embedded model, forward and backward'],
  ]
  const heading = `speed on ${speed.device} with ${speed.threads} threads`
  const table = (lines: string[][]) => plainTable(lines, { colAligns: ['left', 'left'] })
  return `${table(rows)}\n\n${heading}\n${table(figures)}`
}

const deviceLine = (device: Device, problem: string | null) =>
  problem === null ? 'present' : `absent: ${problem}; it needs ${deviceNeeds(device)}`
