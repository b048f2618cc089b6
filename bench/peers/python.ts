/**
 * @file The Python that the peers run on: the one that FLOWTUNE_PEERS_PYTHON names, or a virtual environment beside this file that
 * is made when it is first needed, with the pinned requirements and whatever package index the user's pip is set to.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const environment = join(here, '.venv')
const requirements = join(here, 'requirements.txt')
const installed = join(environment, 'requirements.txt') // a copy, written when all of it is there
const named = process.env.FLOWTUNE_PEERS_PYTHON
const scripts = process.platform === 'win32' ? 'Scripts' : 'bin'

export type Python = {
  command: string
  versions: Record<string, string>
  /** Does the processor multiply bfloat16? */
  bfloat16: boolean
}

export const peerScript = join(here, 'peer.py')

/** The Python of the peers, made ready where it is not, or in a few words why there is none. `tell` is told what takes minutes. */
export const findPython = (tell: (message: string) => void): Python | string =>
  named === undefined && !isPrepared() ? (prepareEnvironment(tell) ?? readyPython()) : readyPython()

/** The same, of what is there already. */
export function readyPython(): Python | string {
  const command = named ?? join(environment, scripts, 'python')
  const { status, stdout, stderr, error } = spawnSync(command, [peerScript, '--describe'], { encoding: 'utf8' })
  return status === 0 ? { command, ...JSON.parse(stdout) } : `${command}: ${error?.message ?? lastLine(stderr)}`
}

const isPrepared = () => existsSync(installed) && readFileSync(installed, 'utf8') === readFileSync(requirements, 'utf8')

/** @returns what went wrong */
function prepareEnvironment(tell: (message: string) => void): string | undefined {
  const python = ['python3', 'python'].find((name) => spawnSync(name, ['--version']).status === 0)
  if (!python) return 'there is no python3'
  tell(`installing PyTorch, transformers and PEFT into ${environment}, once (some gigabytes)`)
  const install = ['-m', 'pip', 'install', '--quiet', '--requirement', requirements]
  const problem =
    failure(python, ['-m', 'venv', '--clear', environment]) ?? failure(join(environment, scripts, 'python'), install)
  if (problem) return `the requirements could not be installed: ${problem}`
  writeFileSync(installed, readFileSync(requirements))
  return undefined
}

/** The last words of a command that failed. */
function failure(command: string, args: readonly string[]): string | undefined {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  return status === 0 ? undefined : (error?.message ?? lastLine(stderr || stdout))
}

const lastLine = (text: string) => text.trim().split('\n').at(-1) || 'no message'
