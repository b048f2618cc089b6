import { expect, test } from 'vitest'
import { describeSize, randomAdapter } from '../sizes.ts'
import { countedWork } from './counted-work.ts'
import { stepOf, type WorkloadName, workloads } from './workloads.ts'

const model = describeSize('smollm2-135m')
const { vocabulary } = model.dimensions
const withoutAdapter = { rank: 1, alpha: 1, targets: [] }
const counted = (name: WorkloadName, lora = withoutAdapter) =>
  countedWork(model, lora, stepOf(workloads[name], vocabulary, { seed: 1, number: 0 }))
/** 4 · (tokens attended to) · layers · width, GFLOP. */
const attention = (context: number) => (4 * context * 30 * 576) / 1e9

test('continuation: 219 GFLOP for a pass over 60 + 64 × 12 tokens, and attention', () => {
  const { sample, reward, learn } = counted('continuation')
  const context = (60 * 61) / 2 + 64 * (12 * 60 + (12 * 13) / 2)
  expect(sample / 1e9).toBeCloseTo(219.4 + attention(context), 1)
  expect(reward).toBe(sample)
  expect(learn / 1e9).toBeCloseTo(2 * 219.4 + 3 * attention(context), 0)
})

test('infilling: 64 × 16 prefixes with an ending of 12 tokens take 3,576 GFLOP, and attention', () => {
  const latents = (60 * 61) / 2 + 64 * (15 * 60 + (15 * 16) / 2)
  const branches = 64 * (16 * 12 * 60 + 12 * ((15 * 16) / 2) + 16 * ((12 * 13) / 2))
  expect(counted('infilling').reward / 1e9).toBeCloseTo(3576 + attention(latents + branches), 0)
})

test('words that three endings share are counted once', () => {
  const step = stepOf(workloads.labels, vocabulary, { seed: 1, number: 0 })
  const apart = { ...step, endings: step.endings.map((ending, i) => [1000 + i, ...ending.slice(1)]) }
  const lora = withoutAdapter
  const perToken = 2 * (106_168_320 + 576 * 49_152) // the layers' weights and the head's
  const saved = countedWork(model, lora, apart).reward - countedWork(model, lora, step).reward
  expect(saved / (20 * 6 * 8 * perToken)).toBeGreaterThan(1) // 18 tokens become 4 + 3 × 2
  expect(saved / (20 * 6 * 8 * perToken)).toBeLessThan(1.03) // attention is little
})

test('an adapter costs the policy its matrices forward and twice backward, and the reward nothing', () => {
  const { config, weights } = randomAdapter(model)
  const matrices = Object.values(weights).reduce((sum, { data }) => sum + data.length, 0)
  const [plain, adapted] = [counted('continuation'), counted('continuation', config as typeof withoutAdapter)]
  expect(adapted.sample - plain.sample).toBe(2 * 828 * matrices)
  expect(adapted.learn - plain.learn).toBe(3 * 2 * 828 * matrices)
  expect(adapted.reward).toBe(plain.reward)
})
