import { expect, test } from 'vitest'
import { estimateLogPartition } from '../../src/evaluation/log-partition.ts'
import { beside, distanceAfter, judge, meanRun, type Run, report, secondsAlong, secondsTo } from './report.ts'

const snapshots = [0.5, 0.1, 0.3, 0.08, 0.09].map((distance, i) => ({ step: i + 1, seconds: 10 * (i + 1), distance }))

test('a level is reached when the sampler stays within it, not when it first is', () => {
  expect(secondsTo(0.2, { snapshots })).toBe(40)
  expect(secondsTo(0.6, { snapshots })).toBe(10)
  expect(secondsTo(0.05, { snapshots })).toBe(Number.POSITIVE_INFINITY)
})

test('the mean of runs reaches a level between two snapshots, along a straight line', () => {
  const run = (seed: number, distances: number[]): Run<number> => ({
    contestant: 'plain',
    seed,
    snapshots: distances.map((distance, i) => ({ step: i + 1, seconds: 10 * (i + seed), distance })),
  })
  const runs = [run(1, [4, 2, 1]), run(2, [6, 4, 2])]
  const mean = meanRun(runs)!
  expect(mean.snapshots.map(({ seconds, distance }) => [seconds, distance])).toEqual([
    [15, 5],
    [25, 3],
    [35, 1.5],
  ])
  expect(secondsAlong(4, mean)).toBe(20)
  expect(secondsAlong(5, mean)).toBe(15)
  expect(secondsAlong(1, mean)).toBe(Number.POSITIVE_INFINITY)
  expect(meanRun([...runs, run(3, [1, 1])])).toBeUndefined()
})

test('after so many seconds the last snapshot until then counts', () => {
  expect(distanceAfter(35, { snapshots })).toBe(0.3)
  expect(distanceAfter(5, { snapshots })).toBeUndefined()
})

test('the KL of all runs is made with one log Z', () => {
  const of = (...values: number[]) => {
    const logWeights = Float64Array.from(values)
    return { step: 1, seconds: 1, distance: { logWeights, latents: values.map(() => [1]), logReward: values } }
  }
  const logPartition = estimateLogPartition([-2, -2, -2])
  const judged = judge(
    [
      { contestant: 'plain', seed: 1, snapshots: [of(-9, -1, -5, -3)] },
      { contestant: 'all', seed: 1, snapshots: [of(-2, -2, -2, -2)] },
    ],
    logPartition,
  )
  expect(judged.logZ).toMatchObject({ value: expect.closeTo(-2, 6), effectiveSamples: expect.closeTo(3, 6) })
  expect(judged.runs.map(({ snapshots }) => snapshots[0].distance)).toEqual([2.5, 0].map((kl) => expect.closeTo(kl, 6)))
})

test('ratios pair runs of one seed', () => {
  const run = (contestant: 'paper' | 'plain', seed: number, seconds: number) => ({
    contestant,
    seed,
    snapshots: [{ step: 1, seconds, distance: 0.1 }],
  })
  const runs = [run('paper', 1, 40), run('plain', 1, 4), run('paper', 2, 60), run('plain', 2, 3)]
  expect(report({ measure: 'total variation', runs }, [0.2])).toContain('15.0 × (10.0 20.0)')
})

test('runs of another day stand beside, all with the log Z that more effective samples say', () => {
  const run = (contestant: 'paper' | 'plain', distance: number) => ({
    contestant,
    seed: 1,
    snapshots: [{ step: 1, seconds: 1, distance }],
  })
  const logZ = (value: number, effectiveSamples: number) => ({ value, standardError: 0.1, effectiveSamples })
  const measure = 'KL(q ‖ posterior), nats'
  const both = beside(
    { measure, logZ: logZ(-3, 20), runs: [run('paper', 1)] },
    { measure, logZ: logZ(-2.5, 40), runs: [run('plain', 2)] },
  )
  expect(both.logZ?.value).toBe(-2.5)
  expect(both.runs.map(({ snapshots }) => snapshots[0].distance)).toEqual([1.5, 2])
})

test('of what was measured before, other seeds stay, and a run of one seed gives way to the new one', () => {
  const run = (seed: number, distance: number) => ({
    contestant: 'paper' as const,
    seed,
    snapshots: [{ step: 1, seconds: 1, distance }],
  })
  const measure = 'total variation'
  const both = beside({ measure, runs: [run(1, 0.1), run(2, 0.2)] }, { measure, runs: [run(2, 0.3), run(3, 0.4)] })
  expect(both.runs.map(({ seed, snapshots }) => [seed, snapshots[0].distance])).toEqual([
    [1, 0.1],
    [2, 0.3],
    [3, 0.4],
  ])
})
