import { afterAll, describe, expect, test } from 'vitest'
import { readPeftFolder } from '../adapters/peft.ts'
import type { ResidentTensor } from '../runtime/session.ts'
import { wrapRuns } from './lane.ts'
import { describeModel, loadWeights } from './language-model.ts'
import { withPrompt } from './prompt.ts'
import { openPromptCache } from './prompt-cache.ts'
import { scoreTree } from './score.ts'

/** A cache whose prompts take 4 bytes a token, what was read for it, and what it let go. */
function cacheOf(mostBytes: number) {
  const read: number[][] = []
  const released: number[] = []
  const cache = openPromptCache(
    { release: async (tensors) => void released.push(...[...tensors].map(({ resident }) => resident)) },
    mostBytes,
  )
  const ask = (prompt: number[], adapter?: Parameters<typeof cache.use>[0]['adapter']) =>
    cache.use(
      { prompt, adapter },
      async () => {
        read.push(prompt)
        return { keys: { resident: read.length, dtype: 'float32', shape: [prompt.length] } satisfies ResidentTensor }
      },
      async ({ keys }) => keys.resident,
    )
  return { cache, ask, read, released }
}

describe('prompts that were read', () => {
  test('stay within a number of bytes, and those asked for longest ago leave first', async () => {
    const { ask, read, released } = cacheOf(16)
    for (const prompt of [
      [1, 2],
      [3, 4],
      [1, 2],
      [5, 6],
    ])
      await ask(prompt)
    expect(read).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
    ])
    expect(released).toEqual([2])
    await ask([1, 2])
    expect(read).toHaveLength(3)
    await ask([3, 4])
    expect(read).toHaveLength(4)
  })

  test('that are larger than all the room push out no other', async () => {
    const { ask, read, released } = cacheOf(8)
    await ask([1, 2])
    await ask([1, 2, 3])
    expect(released).toEqual([2])
    await ask([1, 2])
    expect(read).toHaveLength(2)
  })

  test('leave at once where there is no room', async () => {
    const { ask, read, released } = cacheOf(0)
    await ask([1])
    await ask([1])
    expect([read.length, released]).toEqual([2, [1, 2]])
  })

  test('stay as long as somebody works with them, and are read once for all who do', async () => {
    const { cache, ask, read, released } = cacheOf(0)
    await cache.use(
      { prompt: [1] },
      async () => ({ keys: { resident: 100, dtype: 'float32', shape: [1] } }),
      async () => {
        expect(await ask([1])).toBe(100)
        await ask([2])
        expect(released).toEqual([1])
      },
    )
    expect(read).toEqual([[2]])
    expect(released).toEqual([1, 100])
  })

  test('under an adapter are its own, and leave once it is updated', async () => {
    const { ask, released } = cacheOf(1000)
    const config = { rank: 1, alpha: 1, targets: [] }
    const adapter = () => ({ config, weights: {} })
    const [before, after] = [adapter(), adapter()]
    const [plain, adapted] = [await ask([1]), await ask([1], before)]
    expect(adapted).not.toBe(plain)
    expect(await ask([1], before)).toBe(adapted)
    expect(await ask([1], after)).not.toBe(adapted)
    expect(released).toEqual([adapted])
    expect(await ask([1])).toBe(plain)
  })

  test('are not there where reading them failed, and are read again', async () => {
    const { cache, ask } = cacheOf(1000)
    const failing = cache.use(
      { prompt: [1] },
      () => Promise.reject(new Error('no memory')),
      async () => 0,
    )
    await expect(failing).rejects.toThrow('no memory')
    expect(await ask([1])).toBe(1)
  })
})

describe('a score', async () => {
  const golden = new URL('../../test/golden/', import.meta.url).pathname
  const folder = `${golden}checkpoints/llama`
  const described = describeModel(folder)
  const open = (promptBytes: number) => loadWeights(folder, described, { threads: 1, promptBytes })
  const [keeping, forgetful] = [await open(1e9), await open(0)]
  afterAll(async () => {
    for (const { lanes } of [keeping, forgetful]) await lanes.dispose()
  })
  const adapter = readPeftFolder(`${golden}adapters/llama`)
  const tree = {
    prompt: [5, 6, 7, 8],
    latents: [
      [9, 10],
      [9, 11, 12],
    ],
    branches: [{ latent: 1, prefix: 2, tokens: [13] }],
  }

  test.each([undefined, adapter])(
    'has the same bits whether its prompt was read before or not (adapter: %o)',
    async (adapter) => {
      const score = ({ lanes, description: model }: typeof keeping) =>
        lanes.use((lane) =>
          scoreTree(lane, { model, adapter }, tree, ({ latentToken, branchToken }) => [
            { after: latentToken(0, -1), token: 9 },
            { after: latentToken(1, 2), token: 20 },
            { after: branchToken(0, 0), token: 21 },
          ]),
        )
      const first = await score(keeping)
      expect(await score(keeping)).toEqual(first)
      expect(await score(forgetful)).toEqual(first)
      expect(await score(forgetful)).toEqual(first)
    },
  )

  test('of a prompt that was read runs nothing for the prompt again', () =>
    keeping.lanes.use(async (lane) => {
      const model = keeping.description
      const runs: string[] = []
      const watched = wrapRuns(lane, (run, key) => (...given) => {
        runs.push(key)
        return run(...given)
      })
      const score = () => scoreTree(watched, { model }, { ...tree, prompt: [30, 31] }, () => [{ after: 1, token: 9 }])
      await score()
      expect(runs.filter((key) => key.startsWith('prompt'))).toHaveLength(1)
      await score()
      await withPrompt(watched, { model }, [30, 31], async () => undefined)
      expect(runs.filter((key) => key.startsWith('prompt'))).toHaveLength(1)
    }))
})
