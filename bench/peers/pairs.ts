/** @file One workload at one size: ours stays loaded, peers come one after another, and both run in turn. */
import { setTimeout } from 'node:timers/promises'
import { grantedCores } from '../../src/runtime/threads.ts'
import { largeProductRate } from '../matmul-rate.ts'
import { type Difference, differenceOf, isAlike, worstOf } from './agreement.ts'
import {
  type Contestant,
  ContestantEnded,
  inexact,
  type PeerName,
  type Phases,
  startOurs,
  startPeer,
  type Taken,
} from './contestant.ts'
import type { Python } from './python.ts'

/** A step of ours, and what one large product reached beside it: the better of just before and just after. */
export type OurStep = Phases & { operationsPerSecond: number }

/** Runs of ours and of a peer, pair by pair. */
export type PeerRuns = {
  name: PeerName
  ours: OurStep[]
  theirs: Phases[]
  peakBytes: number
  difference: Difference
}

export type Runs = {
  /** Of all pairs, or where there are no peers so many on their own. */
  ours: OurStep[]
  peakBytes: number
  /** The matrix work that ours did in a step, counted from its graphs. */
  operationsDone: number
  peers: PeerRuns[]
  /** What was said of peers that did not finish. */
  failures: string[]
}

export type RaceOptions = {
  folder: string
  peers: readonly PeerName[]
  pairs: number
  /** Puts a step with new tokens into the folder. */
  nextStep: () => void
  tell: (message: string) => void
}

const PAUSE_MILLISECONDS = 1000

/** Does a peer find something else that is to find what ours finds, to float32's precision? */
export const disagrees = ({ name, difference }: PeerRuns) => !(name in inexact) && !isAlike(difference)

/** @param python absent: ours runs alone. @throws ContestantEnded where ours did */
export async function runPairs(python: Python | undefined, options: RaceOptions): Promise<Runs> {
  const us = await startOurs(options.folder)
  try {
    options.nextStep()
    const first = await us.take() // opens the sessions, and does not count
    const peers: PeerRuns[] = []
    const failures: string[] = []
    for (const name of python ? options.peers : []) {
      if (name === 'tuned-bfloat16' && !python!.bfloat16) {
        failures.push(`${name}: this processor does not multiply bfloat16`)
        continue
      }
      options.tell(`ours and ${name} in turn`)
      try {
        peers.push(await against(name, python!, us, options))
      } catch (error) {
        if (!(error instanceof ContestantEnded) || error.contestant !== name) throw error
        const lines = error.message.split('\n')
        failures.push(`${lines[0]}: ${lines.at(-1)}`) // where memory did not suffice for one, others may still run
      }
    }
    return {
      ours: peers.length > 0 ? peers.flatMap(({ ours }) => ours) : await oursOnly(us, options),
      peakBytes: us.peakBytes(),
      operationsDone: first.operations!,
      peers,
      failures,
    }
  } finally {
    await us.dispose()
  }
}

/** Pairs over one step each, which ours and the peer begin in turn. The first, in which the peer warms up, is not timed. */
async function against(
  name: PeerName,
  python: Python,
  us: Contestant,
  { folder, pairs, nextStep }: RaceOptions,
): Promise<PeerRuns> {
  const peer = await startPeer(python, name, { folder, threads: grantedCores() })
  const taken: { ours: OurTaken; theirs: Taken }[] = []
  try {
    for (let pair = 0; pair <= pairs; pair++) {
      nextStep()
      const before = pair % 2 === 0 ? await besideProducts(us) : undefined
      const theirs = await alone(peer)
      taken.push({ ours: before ?? (await besideProducts(us)), theirs })
    }
    const timed = taken.slice(1)
    return {
      name,
      difference: worstOf(taken.map(({ ours, theirs }) => differenceOf(ours, theirs))),
      ours: timed.map(({ ours }) => ourStep(ours)),
      theirs: timed.map(({ theirs }) => theirs.seconds),
      peakBytes: peer.peakBytes(),
    }
  } finally {
    await peer.dispose()
  }
}

/** A step once the threads of whoever ran before have stopped waiting for work in a loop. */
async function alone(contestant: Contestant): Promise<Taken> {
  await setTimeout(PAUSE_MILLISECONDS)
  return contestant.take()
}

type OurTaken = Taken & Pick<OurStep, 'operationsPerSecond'>

const ourStep = ({ seconds, operationsPerSecond }: OurTaken): OurStep => ({ ...seconds, operationsPerSecond })

/** A step of ours between products, for the machine's pace changes from minute to minute. */
async function besideProducts(us: Contestant): Promise<OurTaken> {
  const before = await largeProductRate(grantedCores())
  const taken = await alone(us)
  return { ...taken, operationsPerSecond: Math.max(before, await largeProductRate(grantedCores())) }
}

async function oursOnly(us: Contestant, { pairs, nextStep }: RaceOptions): Promise<OurStep[]> {
  const steps: OurStep[] = []
  for (let run = 0; run < pairs; run++) {
    nextStep()
    steps.push(ourStep(await besideProducts(us)))
  }
  return steps
}
