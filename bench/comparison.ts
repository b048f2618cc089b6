/** @file What changed between two runs of the same benchmark, and whether the change is more than noise. */
import type { Measurement, Results } from './results.ts'
import { median, spread } from './statistics.ts'

/**
 * Repeats within one process can agree better than two processes do: memory lies elsewhere, the processor is warmer. A smaller
 * change than this is no finding, however quiet both runs were.
 */
const LEAST_NOISE = 0.03

export type Change = {
  name: string
  /** Medians, seconds. */
  before: number
  after: number
  /** after / before: above 1 is slower. */
  ratio: number
  /** What the ratio may differ from 1 by chance: the spread of the repeats in the noisier of both files. */
  noise: number
  /** Peak memory, after / before. */
  memoryRatio: number
  verdict: 'slower' | 'faster' | 'within noise'
  isControl: boolean
}

export type Comparison = {
  changes: Change[]
  /** What only one of both files has. */
  onlyBefore: string[]
  onlyAfter: string[]
  /** Is there anything of ours that became slower by more than noise? */
  isSlower: boolean
}

export function compareResults(before: Results, after: Results): Comparison {
  const byName = new Map(after.measurements.map((measurement) => [measurement.name, measurement]))
  const names = new Set(before.measurements.map(({ name }) => name))
  const changes = before.measurements.flatMap((measurement) => {
    const later = byName.get(measurement.name)
    return later ? [changeOf(measurement, later)] : []
  })
  return {
    changes,
    onlyBefore: [...names].filter((name) => !byName.has(name)),
    onlyAfter: [...byName.keys()].filter((name) => !names.has(name)),
    isSlower: changes.some(({ verdict, isControl }) => verdict === 'slower' && !isControl),
  }
}

function changeOf(earlier: Measurement, later: Measurement): Change {
  const [before, after] = [median(earlier.seconds), median(later.seconds)]
  const ratio = after / before
  const noise = Math.max(LEAST_NOISE, spread(earlier.seconds), spread(later.seconds))
  return {
    name: earlier.name,
    before,
    after,
    ratio,
    noise,
    memoryRatio: later.peakBytes / earlier.peakBytes,
    verdict: ratio > 1 + noise ? 'slower' : 1 / ratio > 1 + noise ? 'faster' : 'within noise',
    isControl: earlier.isControl,
  }
}
