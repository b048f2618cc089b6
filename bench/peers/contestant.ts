/** @file A contestant is a process of its own, so that its peak memory is its own. It takes a step for every line that it is sent. */
import { spawn } from 'node:child_process'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Python, peerScript } from './python.ts'

/** What ours is raced against. */
export const peerNames = ['paper', 'tuned', 'tuned-bfloat16'] as const
export type PeerName = (typeof peerNames)[number]

export type Phases = { sample: number; reward: number; learn: number }

/** The first answer. */
export type Ready = {
  ready: true
  /** What one large product reached in that process before anything else; ours only. */
  operationsPerSecond?: number
}

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
  ready: Ready
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

/** Our own. @param folder what prepare.ts wrote */
export const startOurs = (folder: string): Promise<Contestant> =>
  startContestant('ours', process.execPath, ['--import', 'tsx', ours, folder], { cwd: dirname(ours) })

/** A peer in Python. */
export const startPeer = (
  { command }: Python,
  name: PeerName,
  { folder, threads }: { folder: string; threads: number },
): Promise<Contestant> =>
  startContestant(name, command, [peerScript, '--peer', name, '--folder', folder, '--threads', String(threads)])

const ours = fileURLToPath(new URL('./ours.ts', import.meta.url))

/** Starts a process and waits until it is ready. @throws ContestantEnded */
async function startContestant(
  name: string,
  command: string,
  args: readonly string[],
  options: { cwd?: string } = {},
): Promise<Contestant> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options })
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
  return {
    ready: await answer(),
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
