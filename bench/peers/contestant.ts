/** @file A contestant is a process of its own, so that its peak memory is its own. It takes a step for every line that it is sent. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { type Python, peerScript } from './python.ts'

/** What ours is raced against: peers in Python, and ours with int8 products in all parts of a step. */
export const peerNames = ['paper', 'tuned', 'tuned-bfloat16', 'ours-int8'] as const
export type PeerName = (typeof peerNames)[number]

/** Why some need not find what ours finds in float32. */
export const inexact: Partial<Record<PeerName, string>> = {
  'tuned-bfloat16': 'half precision',
  'ours-int8': 'int8 products',
}

export type Phases = { sample: number; reward: number; learn: number }

/** The first answer. */
export type Ready = { ready: true }

/** What came of a step. */
export type Taken = {
  seconds: Phases
  peakBytes: number
  loss: number
  gradientNorm: number
  /** Untempered, at the states of every latent, [samples][actions + 1], nats. */
  logRewards: number[][]
  /** The matrix work that was done; in the first answer of ours only. */
  operations?: number
}

export type Contestant = {
  /** @throws ContestantEnded */
  take(): Promise<Taken>
  /** The most resident memory that it had until its last answer. */
  peakBytes(): number
  dispose(): Promise<void>
}

/** A contestant that ended before it answered; the message has the last words of its process. */
export class ContestantEnded extends Error {
  readonly contestant: string
  constructor(contestant: string, how: string, lastWords: string) {
    super(`${contestant} ended (${how})\n${lastWords}`)
    this.contestant = contestant
  }
}

const LAST_WORDS = 2000 // characters of standard error that are kept

/** Our own, compiled, as users have it. @param folder what prepare.ts wrote */
export async function startOurs(folder: string, { int8 = false } = {}): Promise<Contestant> {
  const outdir = join(folder, 'compiled')
  const source = (path: string) => fileURLToPath(new URL(path, import.meta.url))
  const entryPoints = { ours: source('./ours.ts'), worker: source('../../src/runtime/worker.ts') }
  const modules = { platform: 'node', format: 'esm', packages: 'external' } as const
  await build({ entryPoints, outdir, bundle: true, ...modules })
  const args = [join(outdir, 'ours.js'), folder, ...(int8 ? ['int8'] : [])]
  return startContestant(int8 ? 'ours-int8' : 'ours', process.execPath, args)
}

/** Who is raced against ours; all but our own in Python. */
export const startPeer = (
  { command }: Python,
  name: PeerName,
  { folder, threads }: { folder: string; threads: number },
): Promise<Contestant> =>
  name === 'ours-int8'
    ? startOurs(folder, { int8: true })
    : startContestant(name, command, [peerScript, '--peer', name, '--folder', folder, '--threads', String(threads)])

/** Starts a process and waits until it is ready. @throws ContestantEnded */
async function startContestant(name: string, command: string, args: readonly string[]): Promise<Contestant> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  let lastWords = ''
  let peak = 0
  child.stderr.on('data', (data) => {
    lastWords = (lastWords + data).slice(-LAST_WORDS)
  })
  const ended = new Promise<string>((resolve) => {
    child.on('error', ({ message }) => resolve(message))
    child.on('close', (code, signal) => resolve(signal ? `killed by ${signal}` : `code ${code}`))
  })
  child.stdin.on('error', () => {}) // it has ended; `ended` says how
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const answer = async () => {
    const line = await lines.next()
    if (!line.done) return JSON.parse(line.value)
    throw new ContestantEnded(name, await ended, lastWords.trim())
  }
  await answer()
  return {
    async take() {
      child.stdin.write('take\n')
      const taken: Taken = await answer()
      peak = taken.peakBytes
      return taken
    },
    peakBytes: () => peak,
    async dispose() {
      child.stdin.end()
      await ended
    },
  }
}
