/** @file A race in tables and numbers: for people, and for bench:compare. */
import Table from 'cli-table3'
import { formatBytes } from '../../src/files.ts'
import type { Measurement } from '../results.ts'
import type { SizeName } from '../sizes.ts'
import { median } from '../statistics.ts'
import { TOLERANCE } from './agreement.ts'
import { inexact, type Phases } from './contestant.ts'
import type { Work } from './counted-work.ts'
import { disagrees, type PeerRuns, type Runs } from './pairs.ts'
import { type Workload, type WorkloadName, workloads } from './workloads.ts'

export type Race = Runs & { size: SizeName; workload: WorkloadName; counted: Work }

const phases = ['sample', 'reward', 'learn'] as const
const wholeStep = ({ sample, reward, learn }: Phases | Work) => sample + reward + learn

/** How many times as long the peer took, pair by pair. */
export const ratiosOf = ({ ours, theirs }: Pick<PeerRuns, 'ours' | 'theirs'>): number[] =>
  theirs.map((seconds, pair) => wholeStep(seconds) / wholeStep(ours[pair]))

/**
 * The least seconds of the counted work at the rate of a large product, and the fraction of that rate which each step of ours reached:
 * at the rate beside the step, and at the best one that was seen.
 */
export function limitOf({ counted, ours }: Pick<Race, 'counted' | 'ours'>) {
  const operations = wholeStep(counted)
  const rates = ours.map(({ operationsPerSecond }) => operationsPerSecond)
  const best = Math.max(...rates)
  return {
    ...{ rate: median(rates), best },
    fractions: ours.map((step, run) => operations / rates[run] / wholeStep(step)),
    fractionAtBest: operations / best / median(ours.map(wholeStep)),
  }
}

export function report(race: Race): string {
  const table = new Table({
    head: ['', 'sample, s', 'reward, s', 'learn, s', 'step, s', 'ours is faster', 'pair by pair', 'peak', 'samples/s'],
    style: { head: [], border: [] },
    colAligns: ['left', ...Array<'right'>(8).fill('right')],
  })
  const { samples } = workloads[race.workload]
  const row = (name: string, runs: readonly Phases[], peakBytes: number, ratios: readonly number[] = []) => {
    const step = median(runs.map(wholeStep))
    const times = phases.map((phase) => median(runs.map((seconds) => seconds[phase])))
    table.push([
      name,
      ...[...times, step].map((seconds) => seconds.toFixed(3)),
      ratios.length > 0 ? `${median(ratios).toFixed(2)} ×` : '',
      ratios.map((ratio) => ratio.toFixed(2)).join(' '),
      formatBytes(peakBytes),
      (samples / step).toFixed(2),
    ])
  }
  row('ours', race.ours, race.peakBytes)
  for (const peer of race.peers) row(peer.name, peer.theirs, peer.peakBytes, ratiosOf(peer))
  const title = `${race.workload}, ${race.size}: ${describe(race.workload)}; medians of ${race.ours.length} runs of ours`
  return [title, table, workLine(race), ...race.peers.map(agreementLine), ...race.failures].join('\n')
}

function describe(name: WorkloadName): string {
  const { prompt, demonstrations, samples, actions, endings, answer }: Workload = workloads[name]
  return [
    `prompt ${demonstrations ? `${demonstrations} + ` : ''}${prompt}`,
    `${samples} × ${actions} tokens`,
    ...(endings ? [`${endings.count === 1 ? 'ending' : `${endings.count} endings`} of ${endings.tokens}`] : []),
    ...(answer ? [`a tool writes ${answer} into a third`] : []),
  ].join(', ')
}

function workLine(race: Race): string {
  const giga = (operations: number) => (operations / 1e9).toFixed(1)
  const percent = (fraction: number) => (100 * fraction).toFixed(0)
  const { sample, reward, learn } = race.counted
  const counted = wholeStep(race.counted)
  const { rate, best, fractions, fractionAtBest } = limitOf(race)
  const at = (rate: number) => `${(counted / rate).toFixed(2)} s at ${giga(rate)} GFLOP/s`
  return [
    `counted: ${giga(counted)} GFLOP (sample ${giga(sample)}, reward ${giga(reward)}, learn ${giga(learn)}; ours did ${giga(race.operationsDone)}).`,
    `The limit is ${at(rate)}, what one large MatMul reaches beside a step of ours; ours reaches ${percent(median(fractions))} % of it`,
    `(step by step ${fractions.map(percent).join(' ')}), and ${percent(fractionAtBest)} % of ${at(best)}, the best that was seen`,
  ].join(' ')
}

function agreementLine(peer: PeerRuns): string {
  const { loss, gradientNorm, logRewards, rewards } = peer.difference
  const found = `loss ${loss.toExponential(1)}, gradient norm ${gradientNorm.toExponential(1)}, ${rewards} log-rewards ${logRewards.toExponential(1)}`
  const verdict = inexact[peer.name] ?? (disagrees(peer) ? `NOT within ${TOLERANCE}` : `within ${TOLERANCE}`)
  return `${peer.name} against ours, relative difference of ${found}: ${verdict}`
}

/** Every phase of every contestant; what is not ours only tells how fast the machine was. */
export function measurementsOf({ size, workload, ours, peakBytes, peers }: Race): Measurement[] {
  const measured = (name: string, runs: readonly Phases[], peakBytes: number, isControl: boolean) =>
    [...phases, 'step' as const].map((phase) => ({
      name: `${size}, ${workload}, ${name}, ${phase}`,
      seconds: runs.map((seconds) => (phase === 'step' ? wholeStep(seconds) : seconds[phase])),
      ...{ peakBytes, isControl },
    }))
  return [
    ...measured('ours', ours, peakBytes, false),
    ...peers.flatMap(({ name, theirs, peakBytes }) => measured(name, theirs, peakBytes, true)),
  ]
}
