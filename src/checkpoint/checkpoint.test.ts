import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { float32, int64 } from '../runtime/host-tensor.ts'
import { checkpointFolder, listCheckpoints } from './checkpoint.ts'
import { loadCheckpoint } from './load.ts'
import { type CheckpointState, saveCheckpoint } from './save.ts'

let run: string
beforeEach(() => {
  run = mkdtempSync(join(tmpdir(), 'run-'))
})
afterEach(() => rmSync(run, { recursive: true }))

const state = (step: number): CheckpointState => ({
  tensors: { 'moment.first': float32([2], [step, -0]), tokens: int64([1], [step]) },
  json: { step, logReward: -0.1 - step, nested: [1e-300, 'ü'] },
  adapter: (folder) => writeFileSync(join(folder, 'adapter_config.json'), `{"step":${step}}`),
})
const save = (step: number, keep = 3) => saveCheckpoint(run, step, state(step), { keep })
const names = () => readdirSync(join(run, 'checkpoints')).sort()

describe('a checkpoint', () => {
  it('comes back bit for bit', async () => {
    const { tensors } = state(7)
    tensors['every kind of number'] = float32([4], [Number.NaN, Number.NEGATIVE_INFINITY, -0, 1e-45])
    tensors.doubles = { dtype: 'float64', shape: [2], data: Float64Array.of(Math.PI, 5e-324) }
    tensors.halves = { dtype: 'float16', shape: [1], data: Uint16Array.of(0x3c01) }
    expect(await saveCheckpoint(run, 7, { ...state(7), tensors }, { keep: 1 })).toBe(join(run, 'checkpoints', '000007'))
    const { adapterFolder, ...loaded } = await loadCheckpoint(run)
    expect(loaded).toEqual({ step: 7, tensors, json: state(7).json })
    expect(readFileSync(join(adapterFolder, 'adapter_config.json'), 'utf8')).toBe('{"step":7}')
  })

  it('is refused at saving where JSON would not hold its numbers', async () => {
    const json = { logReward: Number.NEGATIVE_INFINITY }
    await expect(saveCheckpoint(run, 1, { ...state(1), json }, { keep: 1 })).rejects.toThrow(/logReward is -Infinity/)
  })

  it('is the latest one unless a step is named', async () => {
    for (const step of [5, 10, 1_234_567]) await save(step)
    expect((await loadCheckpoint(run)).step).toBe(1_234_567)
    expect((await loadCheckpoint(run, 5)).json).toEqual(state(5).json)
    await expect(loadCheckpoint(run, 6)).rejects.toThrow(/no checkpoint of step 6; choose one of 5, 10, 1234567/)
  })

  it('that does not exist yet is told', async () => {
    expect(listCheckpoints(run)).toEqual([])
    await expect(loadCheckpoint(run)).rejects.toThrow(/there is no checkpoint yet; start the run again/)
  })
})

describe('old checkpoints', () => {
  it('are removed beyond the newest few', async () => {
    for (const step of [1, 2, 3, 4]) await save(step, 2)
    expect(names()).toEqual(['000003', '000004'])
  })

  it('of later steps are removed when the run goes on from an earlier one', async () => {
    for (const step of [10, 20, 30]) await save(step)
    await save(15)
    expect(listCheckpoints(run)).toEqual([10, 15])
  })

  it('of the same step are replaced', async () => {
    await save(10)
    await saveCheckpoint(run, 10, { ...state(10), json: 'again' }, { keep: 1 })
    expect((await loadCheckpoint(run)).json).toBe('again')
    expect(names()).toEqual(['000010'])
  })
})

describe('a kill', () => {
  it('in the middle of saving leaves the previous checkpoint the latest, and nothing after the next save', async () => {
    await save(1)
    const killed = () => Promise.reject(new Error('killed'))
    await expect(saveCheckpoint(run, 2, { ...state(2), adapter: killed }, { keep: 3 })).rejects.toThrow('killed')
    expect(names()).toEqual(['000001', '000002.partial'])
    expect((await loadCheckpoint(run)).step).toBe(1)
    await save(2)
    expect(names()).toEqual(['000001', '000002'])
  })

  it('in the middle of deleting leaves no damaged checkpoint', async () => {
    mkdirSync(join(run, 'checkpoints', '000001.removed', 'adapter'), { recursive: true })
    await save(2)
    expect(names()).toEqual(['000002'])
  })
})

describe('a damaged checkpoint is refused with the file and the latest whole one before it', () => {
  const damage: [what: string, damage: (folder: string) => void, message: RegExp][] = [
    [
      'a truncated file',
      (f) => truncateSync(join(f, 'state.safetensors'), 9),
      /state\.safetensors has 9 bytes instead/,
    ],
    [
      'a changed byte',
      (f) => writeFileSync(join(f, 'adapter/adapter_config.json'), '{"step":9}'),
      /adapter\/adapter_config\.json does not hold/,
    ],
    ['a missing file', (f) => rmSync(join(f, 'state.json')), /state\.json is missing/],
    ['a damaged manifest', (f) => truncateSync(join(f, 'manifest.json'), 20), /manifest\.json: not JSON/],
    ['a missing manifest', (f) => rmSync(join(f, 'manifest.json')), /manifest\.json: no such file/],
  ]
  it.each(damage)('%s', async (_, damageFolder, message) => {
    for (const step of [1, 2, 3]) await save(step)
    damageFolder(checkpointFolder(run, 3))
    await expect(loadCheckpoint(run)).rejects.toThrow(message)
    await expect(loadCheckpoint(run)).rejects.toThrow(
      /000003: the checkpoint is damaged: .*; resume with --from-step 2/,
    )
    damageFolder(checkpointFolder(run, 2))
    await expect(loadCheckpoint(run)).rejects.toThrow(/--from-step 1/)
    damageFolder(checkpointFolder(run, 1))
    await expect(loadCheckpoint(run)).rejects.toThrow(/start the run again: no earlier one is whole/)
  })
})
