/** @file What came of the runs: quality after equal samples, after equal seconds, and the seconds to equal quality. */
import Table from 'cli-table3'
import type { LogPartition } from '../../src/evaluation/log-partition.ts'
import { type CostCurve, qualityAgainstCost } from '../../src/evaluation/pictures/costs.ts'
import type { Picture } from '../../src/evaluation/pictures/picture.ts'
import { spreadText } from '../../src/evaluation/pictures/spread.ts'
import { mean } from '../../src/sums.ts'
import { median } from '../statistics.ts'
import type { ContestantName } from './contestants.ts'
import type { Distance } from './problems.ts'
import type { Snapshot } from './train.ts'

export type Run<Of> = {
  contestant: ContestantName
  seed: number
  snapshots: (Omit<Snapshot, 'distance'> & { distance: Of })[]
}

/** Runs with one number for how far each sampler is from its target. */
export type Judged = {
  measure: 'total variation' | 'KL(q ‖ posterior), nats'
  /** By which the divergences are made, where the truth is not enumerated. */
  logZ?: { value: number; standardError: number; effectiveSamples: number }
  runs: Run<number>[]
}

/** @param logPartition  one for all runs, where distances are weights */
export function judge(runs: readonly Run<Distance>[], logPartition?: LogPartition): Judged {
  const quality = (distance: Distance) =>
    'logWeights' in distance ? logPartition!.logZ.value - mean([...distance.logWeights]) : distance.totalVariation
  return {
    measure: logPartition ? 'KL(q ‖ posterior), nats' : 'total variation',
    ...(logPartition && { logZ: { ...logPartition.logZ, effectiveSamples: logPartition.effectiveSamples } }),
    runs: runs.map((run) => ({
      ...run,
      snapshots: run.snapshots.map((snapshot) => ({ ...snapshot, distance: quality(snapshot.distance) })),
    })),
  }
}

/** Runs beside others, but for those that are among these again; divergences are made with the log Z that more effective samples say. */
export function beside(before: Judged, now: Judged): Judged {
  const isAgain = ({ contestant, seed }: Run<number>) =>
    now.runs.some((run) => run.contestant === contestant && run.seed === seed)
  const all = [{ ...before, runs: before.runs.filter((run) => !isAgain(run)) }, now]
  const better = all.reduce(
    (best, { logZ }) => (logZ && logZ.effectiveSamples > (best?.effectiveSamples ?? 0) ? logZ : best),
    before.logZ,
  )
  const shifted = ({ logZ, runs }: Judged) => {
    const shift = better && logZ ? better.value - logZ.value : 0
    return runs.map((run) => ({
      ...run,
      snapshots: run.snapshots.map((snapshot) => ({ ...snapshot, distance: snapshot.distance + shift })),
    }))
  }
  return { measure: before.measure, ...(better && { logZ: better }), runs: all.flatMap(shifted) }
}

/** Seconds after which a run is at most so far from its target, and stays so; infinite where it never is. */
export function secondsTo(level: number, { snapshots }: Pick<Run<number>, 'snapshots'>): number {
  const last = snapshots.findLastIndex(({ distance }) => distance > level)
  return snapshots[last + 1]?.seconds ?? Number.POSITIVE_INFINITY
}

/** The mean of a contestant's runs, which are judged at the same steps; undefined where they are not. */
export function meanRun(runs: readonly Run<number>[]): Pick<Run<number>, 'snapshots'> | undefined {
  const [{ snapshots }] = runs
  const isAlike = runs.every(
    (run) => run.snapshots.map(({ step }) => step).join() === snapshots.map(({ step }) => step).join(),
  )
  const meanOf = (i: number, key: 'seconds' | 'distance') => mean(runs.map((run) => run.snapshots[i][key]))
  if (!isAlike) return undefined
  return {
    snapshots: snapshots.map(({ step }, i) => ({
      step,
      seconds: meanOf(i, 'seconds'),
      distance: meanOf(i, 'distance'),
    })),
  }
}

/** The same as `secondsTo`, in a straight line from one snapshot to the next: for means, which are not as noisy as runs. */
export function secondsAlong(level: number, { snapshots }: Pick<Run<number>, 'snapshots'>): number {
  const last = snapshots.findLastIndex(({ distance }) => distance > level)
  const [before, after] = [snapshots[last], snapshots[last + 1]]
  if (!before || !after) return after?.seconds ?? Number.POSITIVE_INFINITY
  const part = (before.distance - level) / (before.distance - after.distance)
  return before.seconds + part * (after.seconds - before.seconds)
}

/** How far a run is from its target after so many seconds, by its last snapshot until then; undefined before the first. */
export const distanceAfter = (seconds: number, { snapshots }: Pick<Run<number>, 'snapshots'>): number | undefined =>
  snapshots.findLast((snapshot) => snapshot.seconds <= seconds)?.distance

/** @param levels  of the measure, at which seconds are compared */
export function report({ measure, logZ, runs }: Judged, levels: readonly number[]): string {
  const contestants = [...new Set(runs.map(({ contestant }) => contestant))]
  const ofOne = (contestant: ContestantName) => runs.filter((run) => run.contestant === contestant)
  const shortest = Math.min(...runs.map(({ snapshots }) => snapshots.at(-1)!.seconds))
  const style = { head: [], border: [] }
  const quality = new Table({
    head: ['', 'steps', 'seconds', `${measure}, at the end`, `after ${shortest.toFixed(0)} s`],
    style,
  })
  const times = new Table({ head: ['seconds to', ...levels.map((level) => `${level}`)], style })
  const ratios = new Table({ head: ['faster than paper', ...levels.map((level) => `${level}`)], style })
  const means = new Table({ head: ['of the means, seconds to', ...levels.map((level) => `${level}`)], style })
  const paperMean = contestants.includes('paper') ? meanRun(ofOne('paper')) : undefined
  for (const contestant of contestants) {
    const own = ofOne(contestant)
    const ends = own.map(({ snapshots }) => snapshots.at(-1)!)
    quality.push([
      contestant,
      ends[0].step,
      spreadText(
        ends.map(({ seconds }) => seconds),
        1,
      ),
      spreadText(
        ends.map(({ distance }) => distance),
        3,
      ),
      spreadText(
        own.map((run) => distanceAfter(shortest, run) ?? Number.NaN),
        3,
      ),
    ])
    const secondsOf = (level: number) => own.map((run) => secondsTo(level, run))
    times.push([
      contestant,
      ...levels.map((level) =>
        secondsOf(level)
          .map((value) => value.toFixed(1))
          .join(' '),
      ),
    ])
    const along = meanRun(own)
    means.push([
      contestant,
      ...levels.map((level) => {
        const seconds = along ? secondsAlong(level, along) : Number.POSITIVE_INFINITY
        const ratio = paperMean ? secondsAlong(level, paperMean) / seconds : Number.NaN
        if (!Number.isFinite(seconds)) return '–'
        return `${seconds.toFixed(1)}${contestant !== 'paper' && Number.isFinite(ratio) ? ` (${ratio.toFixed(1)} ×)` : ''}`
      }),
    ])
    const papers = ofOne('paper')
    if (contestant === 'paper' || papers.length === 0) continue
    const ratio = (level: number) => {
      const pairs = own.flatMap((run) => {
        const paper = papers.find(({ seed }) => seed === run.seed)
        return paper ? [secondsTo(level, paper) / secondsTo(level, run)] : []
      })
      return pairs.some((value) => !Number.isFinite(value) || value === 0)
        ? '–'
        : `${median(pairs).toFixed(1)} × (${pairs.map((value) => value.toFixed(1)).join(' ')})`
    }
    ratios.push([contestant, ...levels.map(ratio)])
  }
  const notes = logZ
    ? [
        `log Z ${logZ.value.toFixed(2)} ± ${logZ.standardError.toFixed(2)}, by all last samplers together (${logZ.effectiveSamples.toFixed(0)} effective samples)`,
      ]
    : []
  return [...notes, `${quality}`, `${times}`, ...(ratios.length > 0 ? [`${ratios}`] : []), `${means}`].join('\n')
}

/** Who is drawn, where all of them are there: each variant would hide the others. */
const HEADLINE: readonly ContestantName[] = ['paper', 'plain', 'all']
const TITLES: Partial<Record<ContestantName, string>> = {
  paper: "the paper's algorithm, PyTorch",
  plain: 'flowtune',
  all: 'flowtune, all that pays',
}

/** Distance against seconds, both on logarithmic axes: mean over seeds, bars of one standard deviation. */
export function qualityPicture({ measure, runs }: Judged, title: string, subtitle: string): Picture {
  const found = [...new Set(runs.map(({ contestant }) => contestant))]
  const drawn = HEADLINE.every((name) => found.includes(name)) ? HEADLINE : found
  const curves = drawn.map((name): CostCurve => {
    const own = runs.filter(({ contestant }) => contestant === name)
    const points = own[0].snapshots.map((_, i) => ({
      cost: own.map(({ snapshots }) => snapshots[i].seconds),
      quality: own.map(({ snapshots }) => snapshots[i].distance),
    }))
    return { name: TITLES[name] ?? `flowtune, ${name}`, points }
  })
  return qualityAgainstCost({ title, subtitle }, [{ quality: { title: measure, isLogarithmic: true }, curves }], {
    title: 'seconds of training',
    isLogarithmic: true,
  })
}
