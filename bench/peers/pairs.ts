/** @file One workload at one size: ours stays loaded, peers come one after another, and both run in turn. */
import { fileURLToPath } from 'node:url'
import { grantedCores } from '../../src/runtime/threads.ts'
import { type Difference, differenceOf, isAlike } from './agreement.ts'
import { type Contestant, type Phases, startContestant, type Taken } from './contestant.ts'
import { type Python, peerScript } from './python.ts'

/** What ours is raced against. */
export const peerNames = ['paper', 'tuned', 'tuned-bfloat16'] as const
export type PeerName = (typeof peerNames)[number]

/** Runs of ours and of a peer, pair by pair. */
export type PeerRuns = {
  name: PeerName
  ours: Phases[]
  theirs: Phases[]
  peakBytes: number
  difference: Difference
}

export type Runs = {
  /** Of all pairs, or where there are no peers so many on their own. */
  ours: Phases[]
  peakBytes: number
  loss: number
  /** The matrix work that ours did in a step, counted from its graphs. */
  operationsDone: number
  /** What one large product reached in the process of ours. */
  operationsPerSecond: number
  peers: PeerRuns[]
  /** What was said of peers that did not finish. */
  failures: string[]
}

export type RaceOptions = { folder: string; peers: readonly PeerName[]; pairs: number; tell: (message: string) => void }

/** Is it to find what ours finds, to float32's precision? */
export const isExact = (name: PeerName) => name !== 'tuned-bfloat16'
export const disagrees = ({ name, difference }: PeerRuns) => isExact(name) && !isAlike(difference)

/** @param python absent: ours runs alone */
export async function runPairs(python: Python | undefined, options: RaceOptions): Promise<Runs> {
  const script = fileURLToPath(new URL('./ours.ts', import.meta.url))
  const us = await startContestant('ours', process.execPath, [...process.execArgv, script, options.folder])
  try {
    const first = await us.take()
    const peers: PeerRuns[] = []
    const failures: string[] = []
    for (const name of python ? options.peers : []) {
      if (name === 'tuned-bfloat16' && !python!.bfloat16) {
        failures.push(`${name}: this processor does not multiply bfloat16`)
        continue
      }
      options.tell(`ours and ${name} in turn`)
      try {
        peers.push(await against(name, python!, { us, first }, options))
      } catch (error) {
        const lines = (error as Error).message.split('\n')
        failures.push(`${lines[0]}: ${lines.at(-1)}`) // where memory did not suffice for one, others may still run
      }
    }
    const alone = peers.length > 0 ? [] : await repeat(options.pairs, () => us.take())
    return {
      ours: peers.length > 0 ? peers.flatMap(({ ours }) => ours) : alone.map(({ seconds }) => seconds),
      peakBytes: us.peakBytes(),
      loss: first.loss,
      operationsDone: first.operations!,
      operationsPerSecond: us.ready.operationsPerSecond!,
      ...{ peers, failures },
    }
  } finally {
    await us.dispose()
  }
}

/** Pairs, whose first run is ours and the peer's in turn, after a run of the peer that does not count. */
async function against(
  name: PeerName,
  { command }: Python,
  { us, first }: { us: Contestant; first: Taken },
  { folder, pairs }: RaceOptions,
): Promise<PeerRuns> {
  const args = [peerScript, '--peer', name, '--folder', folder, '--threads', String(grantedCores())]
  const peer = await startContestant(name, command, args)
  try {
    const difference = differenceOf(first, await peer.take())
    const taken = await repeat(pairs, async (pair) => {
      const oursFirst = pair % 2 === 0
      const before = oursFirst ? await us.take() : undefined
      const theirs = await peer.take()
      return { ours: before ?? (await us.take()), theirs }
    })
    return {
      ...{ name, difference },
      ours: taken.map(({ ours }) => ours.seconds),
      theirs: taken.map(({ theirs }) => theirs.seconds),
      peakBytes: peer.peakBytes(),
    }
  } finally {
    await peer.dispose()
  }
}

/** One after another. */
async function repeat<Result>(count: number, run: (i: number) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = []
  for (let i = 0; i < count; i++) results.push(await run(i))
  return results
}
