import { expect, test } from 'vitest'
import { type Draws, seededRandom } from '../random.ts'
import {
  draw,
  emptyBuffer,
  insert,
  type ReplayBuffer,
  type ReplayConfig,
  replayBufferSchema,
  replayConfigSchema,
  stored,
} from './replay-buffer.ts'
import { type Trajectory, terminalLogReward } from './trajectory.ts'

const latent = (tokens: number[], logReward: number): Trajectory => ({
  tokens,
  logReward: [...tokens.map(() => -Infinity), logReward],
  source: 'policy',
})

const buffer = (config: Partial<ReplayConfig>, ...latents: Trajectory[]) =>
  insert(emptyBuffer(replayConfigSchema.parse(config)), 'prompt', latents)

const rewards = (buffer: ReplayBuffer, prompt = 'prompt') => stored(buffer, prompt).map(terminalLogReward)

/** Ten tokens of which the last `changed` are not those of the others: `changed` edits away from any other such latent. */
const variant = (changed: number, name: number) =>
  Array.from({ length: 10 }, (_, i) => (i < 10 - changed ? i : 100 * name + i))

test('the best latents are kept, best first, and the lowest leaves when there are too many', () => {
  const full = buffer({ capacity: 3, nearDuplicate: 0 }, latent([1], -5), latent([2], -1), latent([3], -9))
  expect(rewards(full)).toEqual([-1, -5, -9])
  expect(rewards(insert(full, 'prompt', [latent([4], -3)]))).toEqual([-1, -3, -5])
  expect(rewards(insert(full, 'prompt', [latent([4], -10)]))).toEqual([-1, -5, -9])
})

test('of equal rewards the earlier latent stays', () => {
  const full = buffer({ capacity: 2, nearDuplicate: 0 }, latent([1], -2), latent([2], -2), latent([3], -2))
  expect(stored(full, 'prompt').map(({ tokens }) => tokens)).toEqual([[1], [2]])
})

test('a latent that is kept already is passed over', () => {
  const once = buffer({ nearDuplicate: 0 }, latent([1, 2], -3))
  expect(insert(once, 'prompt', [latent([1, 2], -3), latent([1, 2], -1)])).toEqual(once)
})

test('a latent of reward zero is never kept', () => {
  expect(rewards(buffer({}, latent([1], -Infinity), latent([2, 3], -4)))).toEqual([-4])
})

test('of two near latents the better rewarded one is kept, whichever comes first', () => {
  const [good, bad] = [latent(variant(4, 1), -1), latent(variant(4, 2), -2)] // 4 edits < 20 · 0.25
  expect(rewards(buffer({ nearDuplicate: 0.25 }, good, bad))).toEqual([-1])
  expect(rewards(buffer({ nearDuplicate: 0.25 }, bad, good))).toEqual([-1])
})

test('latents exactly at the tolerance are not near', () => {
  expect(rewards(buffer({ nearDuplicate: 0.25 }, latent(variant(5, 1), -1), latent(variant(5, 2), -2)))).toEqual([
    -1, -2,
  ])
})

test('a tolerance of zero keeps every distinct latent', () => {
  expect(rewards(buffer({ nearDuplicate: 0 }, latent([1, 2, 3], -1), latent([1, 2, 4], -2)))).toEqual([-1, -2])
})

test('a newcomer that beats all its near neighbours replaces them all', () => {
  const left = latent([1, 1, 1, 1, 0, 0, 0, 0], -2) // 8 edits from right: not near it; 4 from the middle: near
  const right = latent([0, 0, 0, 0, 2, 2, 2, 2], -3)
  const middle = [1, 1, 1, 1, 2, 2, 2, 2]
  const both = buffer({ nearDuplicate: 0.26 }, left, right)
  expect(rewards(both)).toEqual([-2, -3])
  expect(rewards(insert(both, 'prompt', [latent(middle, -1)]))).toEqual([-1])
  expect(rewards(insert(both, 'prompt', [latent(middle, -2.5)]))).toEqual([-2, -3]) // beats one of the two only
})

test('prompts have buffers of their own, whatever they are called', () => {
  const first = buffer({ capacity: 1 }, latent([1], -1))
  for (const name of ['other', 'constructor', '__proto__', '']) {
    expect(rewards(first, name)).toEqual([])
    const both = insert(first, name, [latent([2], -2)])
    expect([rewards(both), rewards(both, name)]).toEqual([[-1], [-2]])
  }
})

test('inserting leaves the given buffer as it was', () => {
  const before = buffer({}, latent([1], -1))
  const copy = structuredClone(before)
  insert(before, 'prompt', [latent([2, 3], -0.5)])
  insert(before, 'other', [latent([2, 3], -0.5)])
  expect(before).toEqual(copy)
})

test('a buffer survives JSON', () => {
  const written = insert(buffer({ drawing: 'priority' }, latent([1, 2, 3], -1 / 3)), 'other', [latent([], -7)])
  expect(replayBufferSchema.parse(JSON.parse(JSON.stringify(written)))).toStrictEqual(written)
})

test('any sequence of insertions gives what the slow obvious rule gives', () => {
  for (let run = 0; run < 60; run++) {
    const draws = seededRandom(run).at('operations')
    const config = {
      capacity: 1 + draws.integer(8),
      nearDuplicate: [0, 0.25, 0.4][run % 3],
      drawing: 'uniform',
    } as const
    let fast = emptyBuffer(config)
    let slow: Trajectory[] = []
    for (let operation = 0; operation < 12; operation++) {
      const batch = Array.from({ length: 1 + draws.integer(5) }, () => randomLatent(draws))
      fast = insert(fast, 'prompt', batch)
      for (const newcomer of batch) slow = obviousInsert(slow, newcomer, config)
      expect(stored(fast, 'prompt')).toEqual(slow.toSorted((a, b) => terminalLogReward(b) - terminalLogReward(a)))
    }
    expect(stored(fast, 'prompt').length).toBeGreaterThan(0)
    expectNoNearPair(stored(fast, 'prompt'), config.nearDuplicate)
  }
})

test('an empty buffer gives nothing to draw', () => {
  const draws = seededRandom(1).at('replay')
  for (const drawing of ['uniform', 'priority'] as const)
    expect(draw(buffer({ drawing }), 'prompt', { count: 4, temperature: 1 }, draws)).toEqual([])
  expect(draw(buffer({}, latent([1], -1)), 'another', { count: 4, temperature: 1 }, draws)).toEqual([])
})

test('a drawn latent says that it is replayed and is otherwise the stored one', () => {
  const kept = { ...latent([1, 2], -1), inserted: [1], untempered: [-3, -1, -1], source: 'tempered' } as const
  const drawn = draw(buffer({}, kept), 'prompt', { count: 2, temperature: 1 }, seededRandom(1).at('replay'))
  expect(drawn).toEqual([
    { ...kept, source: 'replay' },
    { ...kept, source: 'replay' },
  ])
})

const three = [latent([1], Math.log(6)), latent([2], Math.log(3)), latent([3], Math.log(1))]

test.each([
  ['uniform drawing takes all latents alike', 'uniform', 1, [1 / 3, 1 / 3, 1 / 3]],
  ['priority drawing takes them in proportion to their reward', 'priority', 1, [6 / 10, 3 / 10, 1 / 10]],
  ['priority drawing follows the reward temperature', 'priority', 0.5, [36 / 46, 9 / 46, 1 / 46]],
] as const)('%s', (_, drawing, temperature, expected) => {
  const count = 40_000
  const full = buffer({ drawing, nearDuplicate: 0 }, ...three)
  const drawn = draw(full, 'prompt', { count, temperature }, seededRandom(3).at('replay'))
  expect(drawn).toHaveLength(count)
  expected.forEach((probability, i) => {
    const fraction = drawn.filter(({ tokens }) => tokens[0] === i + 1).length / count
    expect(Math.abs(fraction - probability)).toBeLessThan(4 * Math.sqrt((probability * (1 - probability)) / count))
  })
})

test('rewards too small for a double are drawn by their ratio', () => {
  const tiny = buffer({ drawing: 'priority', nearDuplicate: 0 }, latent([1], -5000), latent([2], -9000))
  const drawn = draw(tiny, 'prompt', { count: 50, temperature: 1 }, seededRandom(1).at('replay'))
  expect(drawn.every(({ tokens }) => tokens[0] === 1)).toBe(true)
})

test('equal draws give equal latents', () => {
  const full = buffer({ nearDuplicate: 0 }, ...three)
  const drawAgain = () => draw(full, 'prompt', { count: 9, temperature: 1 }, seededRandom(8).at('replay', 3))
  expect(drawAgain()).toEqual(drawAgain())
})

/** Short latents over three tokens, with whole-numbered rewards, so that near pairs, duplicates and ties are frequent. */
function randomLatent(draws: Draws): Trajectory {
  const tokens = Array.from({ length: draws.integer(7) }, () => draws.integer(3))
  return latent(tokens, draws.integer(20) === 0 ? -Infinity : -draws.integer(6))
}

/** Keeps arrival order; every rule a loop. */
function obviousInsert(
  kept: Trajectory[],
  newcomer: Trajectory,
  { capacity, nearDuplicate }: ReplayConfig,
): Trajectory[] {
  if (terminalLogReward(newcomer) === -Infinity) return kept
  const losers: Trajectory[] = []
  for (const other of kept) {
    const distance = editDistance(other.tokens, newcomer.tokens)
    if (distance === 0) return kept
    if (distance >= (other.tokens.length + newcomer.tokens.length) * nearDuplicate) continue
    if (terminalLogReward(other) >= terminalLogReward(newcomer)) return kept
    losers.push(other)
  }
  const next = [...kept.filter((other) => !losers.includes(other)), newcomer]
  if (next.length > capacity) {
    const lowest = Math.min(...next.map(terminalLogReward))
    next.splice(next.map(terminalLogReward).lastIndexOf(lowest), 1)
  }
  return next
}

function expectNoNearPair(kept: readonly Trajectory[], nearDuplicate: number) {
  for (const [i, a] of kept.entries())
    for (const b of kept.slice(i + 1))
      expect(editDistance(a.tokens, b.tokens)).toBeGreaterThanOrEqual(
        (a.tokens.length + b.tokens.length) * nearDuplicate,
      )
}

/** Straight from the definition. */
function editDistance(a: readonly number[], b: readonly number[]): number {
  if (a.length === 0 || b.length === 0) return a.length + b.length
  const [restOfA, restOfB] = [a.slice(1), b.slice(1)]
  if (a[0] === b[0]) return editDistance(restOfA, restOfB)
  return 1 + Math.min(editDistance(restOfA, b), editDistance(a, restOfB), editDistance(restOfA, restOfB))
}
