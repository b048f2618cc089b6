import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ModelDescription } from '../../src/models/architecture.ts'
import { readResults } from '../results.ts'
import { differenceOf, isAlike } from './agreement.ts'
import { type Contestant, startOurs, startPeer, type Taken } from './contestant.ts'
import { writePolicy, writeStep } from './prepare.ts'
import { type Python, readyPython } from './python.ts'
import { makeWorkFolder } from './work-folder.ts'
import { workloadNames } from './workloads.ts'

const folder = makeWorkFolder()

test('where there is no PyTorch one line says so, and ours runs alone', () => {
  const file = join(folder, 'results.json')
  const race = fileURLToPath(new URL('./race.ts', import.meta.url))
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', race, '--size', 'tiny', '--workload', 'labels', '--pairs', '2', '--json', file],
    { encoding: 'utf8', env: { ...process.env, FLOWTUNE_PEERS_PYTHON: join(folder, 'no-python') } },
  )
  expect(status).toBe(0)
  expect(stderr.split('\n').filter((line) => line.startsWith('no peers, ours runs alone: '))).toHaveLength(1)
  expect(stdout).toContain('labels, tiny: prompt 40, 20 × 5 tokens, 3 endings of 6; medians of 2 runs of ours')
  expect(stdout).toMatch(/counted: [\d.]+ GFLOP .* ours reaches \d+ % of it \(step by step \d+ \d+\)/)
  const { measurements } = readResults(file)
  expect(measurements.map(({ name }) => name)).toEqual(
    ['sample', 'reward', 'learn', 'step'].map((phase) => `tiny, labels, ours, ${phase}`),
  )
})

const EXACT = ['paper', 'tuned'] as const
const python = readyPython()
const isAbsent = typeof python === 'string'
describe.skipIf(isAbsent)(
  `peers${isAbsent ? ': skipped, PyTorch is not there (npm run bench:peers installs it)' : ''}`,
  () => {
    const contestants: Record<string, Contestant> = {}
    let model: ModelDescription
    beforeAll(async () => {
      ;({ model } = writePolicy(folder, 'tiny'))
      contestants.ours = await startOurs(folder)
      for (const name of [...EXACT, 'ours-int8'] as const)
        contestants[name] = await startPeer(python as Python, name, { folder, threads: 1 })
    })
    afterAll(async () => {
      await Promise.all(Object.values(contestants).map((contestant) => contestant.dispose()))
    })

    describe.each(workloadNames)('in %s', (workload) => {
      let ours: Taken
      beforeAll(async () => {
        writeStep(folder, workload, model, { seed: 2, number: 0 })
        ours = await contestants.ours.take()
      })

      test.each(EXACT)('%s finds the loss, the rewards and the gradient that ours finds', async (name) => {
        const theirs = await contestants[name].take()
        expect(theirs.loss).toBeGreaterThan(0)
        expect(differenceOf(ours, theirs)).toSatisfy(isAlike)
      })

      test('ours with int8 products finds nearly the rewards, and not the same', async () => {
        const theirs = await contestants['ours-int8'].take()
        const { logRewards } = differenceOf(ours, theirs)
        expect(logRewards).toBeGreaterThan(1e-6)
        expect(logRewards).toBeLessThan(0.05)
      })
    })
  },
)
