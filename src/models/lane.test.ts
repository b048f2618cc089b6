import { afterAll, expect, test } from 'vitest'
import { initialAdapter, type LoraAdapter } from '../adapters/lora.ts'
import { seededRandom } from '../random.ts'
import { describeModel, loadWeights } from './language-model.ts'

const folder = new URL('../../test/golden/checkpoints/llama', import.meta.url).pathname
const { description, lanes } = await loadWeights(folder, describeModel(folder), { threads: 1 })
afterAll(() => lanes.dispose())

const fresh = () => initialAdapter({ rank: 2, alpha: 2, targets: ['q_proj'] }, description.linears, seededRandom(1))
const updated = ({ config, weights }: LoraAdapter): LoraAdapter => ({ config, weights: { ...weights } })

test('two adapters stay where a model runs, also while one of them is updated again and again', () =>
  lanes.use(async (lane) => {
    const [policy, reference] = [fresh(), fresh()]
    const held = await lane.adapter(reference)
    let latest = await lane.adapter(policy)
    for (let step = 0; step < 3; step++) {
      const next = updated(policy)
      const matrices = await lane.adapter(next)
      expect(matrices).not.toBe(latest)
      expect(await lane.adapter(next)).toBe(matrices)
      expect(await lane.adapter(reference)).toBe(held)
      latest = matrices
    }
  }))

test('an adapter that two ask for at once is brought there once', () =>
  lanes.use(async (lane) => {
    const policy = fresh()
    const [a, b] = await Promise.all([lane.adapter(policy), lane.adapter(policy)])
    expect(a).toBe(b)
  }))

test('a third one takes the place of that which was asked for longest ago', () =>
  lanes.use(async (lane) => {
    const [first, second, third] = [fresh(), fresh(), fresh()]
    const [a, b] = [await lane.adapter(first), await lane.adapter(second)]
    expect(await lane.adapter(first)).toBe(a)
    await lane.adapter(third)
    expect(await lane.adapter(first)).toBe(a)
    expect(await lane.adapter(second)).not.toBe(b)
  }))

test('jobs of a kind go to the lane that had the last one, where it is free', async () => {
  const model = await loadWeights(folder, describeModel(folder), { threads: 2, lanes: 2 })
  const { use } = model.lanes
  const laneOf = (kind?: string) => use((lane) => Promise.resolve(lane), kind)
  const [first, second] = await Promise.all([laneOf('a'), laneOf('b')])
  expect(first).not.toBe(second)
  expect(await laneOf('b')).toBe(second)
  expect(await laneOf('b')).toBe(second)
  expect(await laneOf('a')).toBe(first)
  expect(await Promise.all([laneOf('b'), laneOf('b'), laneOf('b')])).toEqual([second, first, second]) // none waits for its own
  await model.dispose()
})

test('scratch memory is theirs who asked last, and the same as long as it is large enough', () =>
  lanes.use(async (lane) => {
    const first = await lane.scratch(4, { a: 2, b: 3 })
    expect(first.arrays).toMatchObject({ a: { shape: [4, 2] }, b: { shape: [4, 3] } })
    expect(first.isHeld()).toBe(true)
    const second = await lane.scratch(3, { a: 2, b: 3 })
    expect(second.arrays).toEqual(first.arrays)
    expect([first.isHeld(), second.isHeld()]).toEqual([false, true])
    const larger = await lane.scratch(5, { a: 2, b: 3 })
    expect(larger.arrays.a.shape).toEqual([5, 2])
    expect(larger.arrays.a.resident).not.toBe(first.arrays.a.resident)
    await expect(lane.runtime.read({ a: first.arrays.a })).rejects.toThrow('used after its release')
  }))
